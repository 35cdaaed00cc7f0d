"""Settings of rotary positions and of layers with a window, in the forms that ``config.json`` has had them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformer.model.config import TransformerConfig
from transformer.model.rotary_scaling import RotaryScaling
from transformer.pretrained.huggingface.family import Setting, Settings

OF_KIND = {  # what a scaling needs besides its factor, as here and as there
    "linear": {},
    "llama3": {
        "original_length": "original_max_position_embeddings",
        "low_freq_factor": "low_freq_factor",
        "high_freq_factor": "high_freq_factor",
    },
    "yarn": {
        "original_length": "original_max_position_embeddings",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
    },
    "longrope": {
        "original_length": "original_max_position_embeddings",
        "short_factor": "short_factor",
        "long_factor": "long_factor",
        "attention_factor": "attention_factor",
    },
}
OLD_NAMES = {"su": "longrope"}
NOT_USED = ("rope_type", "type", "factor", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
MOST_LAYERS = 10_000
LOCAL, GLOBAL = "sliding_attention", "full_attention"


def with_old_rotation(settings: Settings) -> Settings:
    """Settings whose ``rope_parameters`` are ``rope_theta``, ``rope_scaling`` and the like, which all versions read."""
    settings = dict(settings)
    parameters = settings.pop("rope_parameters", None)
    if not isinstance(parameters, dict):
        return settings
    if isinstance(parameters.get(GLOBAL), dict):
        local = parameters.get(LOCAL) or {}
        if local.get("rope_type", "default") != "default":
            raise ValueError(f"rope_parameters: local layers here have no scaling, got {local['rope_type']!r}")
        settings["rope_local_base_freq"] = local.get("rope_theta")
        parameters = parameters[GLOBAL]
    for name in ("rope_theta", "partial_rotary_factor"):
        if name in parameters:
            settings[name] = parameters[name]
    return settings | {"rope_scaling": parameters}


def read_scaling(value: Any, settings: Settings) -> RotaryScaling | None:
    """Scaling of ``rope_scaling``.

    Raises:
        ValueError: it is of a kind that is not known here, or has parts that are not.
    """
    if value is None:
        return None
    kind = value.get("rope_type", value.get("type", "default"))
    kind = OLD_NAMES.get(kind, kind)
    if kind == "default":
        return None
    if kind not in OF_KIND:
        raise ValueError(f"rope_scaling: expected one of default, {', '.join(OF_KIND)}, got {kind!r:.80}")
    fields = {ours: value[theirs] for ours, theirs in OF_KIND[kind].items() if value.get(theirs) is not None}
    known = (*NOT_USED, *OF_KIND[kind].values())
    if others := [name for name, given in value.items() if name not in known and given is not None]:
        raise ValueError(f"rope_scaling: {others[0]!r} is not known for {kind}")
    length = settings["max_position_embeddings"]
    if kind != "linear":
        fields["original_length"] = settings.get("original_max_position_embeddings") or fields.get(
            "original_length", length
        )
    factor = value.get("factor")
    fields["factor"] = length / fields["original_length"] if factor is None and kind != "linear" else factor
    for name in ("short_factor", "long_factor"):
        if name in fields:
            fields[name] = tuple(float(number) for number in fields[name])
    return RotaryScaling(kind=kind, **fields)


def write_scaling(config: TransformerConfig) -> dict[str, Any] | None:
    """Content of ``rope_scaling``."""
    if (scaling := config.rotary_scaling) is None:
        return None
    others = {theirs: getattr(scaling, ours) for ours, theirs in OF_KIND[scaling.kind].items()}
    parts = {name: list(part) if isinstance(part, tuple) else part for name, part in others.items() if part is not None}
    return {"rope_type": scaling.kind, "factor": scaling.factor, **parts}


def global_layers(kinds: Any, settings: Settings) -> tuple[int, ...]:
    """Numbers of the layers that see everything, from ``layer_types``."""
    if unknown := [kind for kind in kinds if kind not in (LOCAL, GLOBAL)]:
        raise ValueError(f"layer_types: expected {LOCAL} and {GLOBAL}, got {unknown[0]!r:.80}")
    return tuple(number for number, kind in enumerate(kinds) if kind == GLOBAL)


def kinds_of_layers(settings: Settings, is_global: Callable[[int], bool]) -> list[str]:
    """Default of ``layer_types``; of no layers where their number is absurd, which is an error of its own."""
    layers = settings["num_hidden_layers"]
    return [GLOBAL if is_global(number) else LOCAL for number in range(layers if layers < MOST_LAYERS else 0)]


def layer_types(config: TransformerConfig) -> list[str]:
    """Content of ``layer_types``."""
    layers = max(config.encoder_layers, config.decoder_layers)
    return [GLOBAL if config.window is None or number in config.global_layers else LOCAL for number in range(layers)]


def share_that_turns(name: str, default: float = 1.0) -> Setting:
    """Setting of the share of a head's features that turn."""

    def width(share: float, settings: Settings) -> int | None:
        if isinstance(share, str) or not 0 < share <= 1:
            raise ValueError(f"{name}: expected a share from 0 to 1, got {share!r:.80}")
        size = settings.get("head_dim") or settings["hidden_size"] // settings["num_attention_heads"]
        return int(size * share) if isinstance(size, int) else None

    def share(config: TransformerConfig) -> float:
        return (config.rotary_width or config.head_size) / config.head_size

    return Setting(name, "rotary_width", default, convert=width, revert=share)


ROTATION = (
    Setting("rope_theta", "rotary_base", 10000.0),
    Setting("rope_scaling", "rotary_scaling", convert=read_scaling, revert=write_scaling),
)
