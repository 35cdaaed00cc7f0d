"""Adapters in the directory format of PEFT: low-rank updates of a pretrained model, which is in another directory."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad import nn
from minigrad.io import from_bytes, to_bytes
from transformer.json_object import json_object, to_json
from transformer.model.config import TransformerConfig
from transformer.model.lora import ALL_LINEAR, LoraConfig, LoraLinear
from transformer.pretrained.huggingface import FAMILIES
from transformer.pretrained.huggingface.family import AS_IT_IS, Array, Layout

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."  # of all names in the file
BASE = "base_model_name_or_path"
TASK_TYPES = {"CausalLM": "CAUSAL_LM", "Transformer": "SEQ_2_SEQ_LM", "Encoder": "FEATURE_EXTRACTION"}
OURS = ("r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules")
FREE = {  # our settings, and those that change nothing here; the last two are of features that others turn on
    *OURS,
    *(BASE, "auto_mapping", "fan_in_fan_out", "inference_mode", "peft_version", "revision", "task_type"),
    *("megatron_core", "qalora_group_size"),
}
KNOWN: dict[str, tuple[Any, ...]] = {  # values of other settings that have one
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),  # others change the base's weights
}


class Target(NamedTuple):
    """Module of a file, and our linear layers in it, which share A."""

    layers: list[str]
    sizes: list[int]  # of their outputs
    layout: Layout
    config: TransformerConfig

    @property
    def transposed(self) -> bool:
        """True if the module's weights multiply from the right."""
        width = sum(self.sizes) + 1
        return self.layout.join([np.zeros((size, width)) for size in self.sizes], self.config).shape[0] == width

    def join(self, parts: list[Array]) -> Array:
        """Join our layers' matrices B (size, r) into the module's (sum of sizes, r)."""
        joined = self.layout.join(parts, self.config)
        return np.ascontiguousarray(joined.T if self.transposed else joined)

    def split(self, joined: Array) -> list[Array]:
        """Split the module's matrix B into those of our layers."""
        shapes: list[tuple[int, ...]] = [(size, joined.shape[1]) for size in self.sizes]
        return self.layout.split(joined.T if self.transposed else joined, shapes, self.config)


def targets(model: Any) -> dict[str, Target]:
    """Linear layers of a model by the names of its files' modules."""
    sizes = {name: layer.out_features for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    if model.family is None:
        return {name: Target([name], [size], AS_IT_IS, model.config) for name, size in sizes.items()}
    modules = FAMILIES[model.family].modules(model.architecture, model.config, sizes).items()
    return {
        name: Target(stored.parameters, [sizes[layer] for layer in stored.parameters], stored.layout, model.config)
        for name, stored in modules
    }


def select_targets(model: Any, config: LoraConfig) -> dict[str, Target]:
    """Modules that a configuration adapts.

    Raises:
        ValueError: there are none, or one of several names is that of no module.
    """
    known, wanted = targets(model), config.target_modules
    if wanted == ALL_LINEAR:
        return known
    if wanted is None:
        usual = ("attention.query", "attention.value")
        return {name: t for name, t in known.items() if any(layer.endswith(usual) for layer in t.layers)}
    names = {ending: _matching(known, ending, whole=isinstance(wanted, str)) for ending in _listed(wanted)}
    for ending, found in names.items():
        if not found and not _is_unused(model, ending):
            endings = sorted({name.rpartition(".")[2] for name in known})
            raise ValueError(f"target_modules: expected some of {', '.join(endings)}, got {ending!r}")
    return {name: target for name, target in known.items() if any(name in found for found in names.values())}


def _is_unused(model: Any, module: str) -> bool:
    """True for a module that the model here has no use for, such as BERT's pooler."""
    if model.family is None:
        return False
    family = FAMILIES[model.family]
    return re.search(family.unused, family.prefix + module.removeprefix(family.prefix)) is not None


def _listed(wanted: tuple[str, ...] | str) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else wanted


def _matching(known: Mapping[str, Target], ending: str, whole: bool) -> set[str]:
    if whole:
        try:
            return {name for name in known if re.fullmatch(ending, name)}
        except re.error as error:
            raise ValueError(f"target_modules: not a valid regular expression ({error}), got {ending!r}") from None
    return {name for name in known if name == ending or name.endswith(f".{ending}")}


def groups(chosen: Mapping[str, Target]) -> list[list[str]]:
    """Layers of the chosen modules, those that share A together."""
    return [target.layers for target in chosen.values()]


def adapter_contents(model: Any, config: LoraConfig, base: str) -> list[tuple[str, bytes]]:
    """Names and contents of an adapter's files.

    Args:
        model: with adapters.
        config: of these.
        base: directory of the model that they belong to.
    """
    chosen, arrays = select_targets(model, config), {}
    modules = dict(model.named_modules())
    for name, target in chosen.items():
        layers = [modules[layer] for layer in target.layers]
        arrays[f"{PREFIX}{name}.lora_A.weight"] = layers[0].lora_A.data
        arrays[f"{PREFIX}{name}.lora_B.weight"] = target.join([layer.lora_B.data for layer in layers])
    wanted = config.target_modules
    if wanted is None:
        wanted = tuple(sorted({name.rpartition(".")[2] for name in chosen}))
    elif wanted == ALL_LINEAR:  # their models may have more of them
        wanted = tuple(chosen)
    document = {
        "peft_type": "LORA",
        "task_type": TASK_TYPES.get(type(model).__name__),
        BASE: base,
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "use_rslora": config.use_rslora,
        "target_modules": wanted,
        "fan_in_fan_out": any(target.transposed for target in chosen.values()),
        "bias": "none",
        "inference_mode": True,
    }
    return [(ADAPTER_CONFIG, to_json(document)), (ADAPTER_WEIGHTS, to_bytes(arrays, {"format": "pt"}))]


def read_adapter_config(content: bytes) -> LoraConfig:
    """Read ``adapter_config.json``.

    Raises:
        ValueError: it is damaged, or has a setting that is not supported here.
    """
    settings = json_object(content.decode("utf-8"))
    for name, value in settings.items():
        if name in FREE or (value in KNOWN[name] if name in KNOWN else not value):
            continue
        expected = repr(KNOWN[name][0]) if name in KNOWN else "none"
        raise ValueError(f"{name}: adapters here know only {expected}, got {value!r:.80}")
    given = {name: settings[name] for name in OURS if name in settings}
    wanted = given.get("target_modules")
    if isinstance(wanted, list) and all(isinstance(name, str) for name in wanted):
        given["target_modules"] = tuple(wanted)
    elif not isinstance(wanted, str | None):
        raise ValueError(f"target_modules: expected names, got {wanted!r:.80}")
    return LoraConfig(**given)


def base_directory(directory: Path, content: bytes) -> Path:
    """Directory of the model that an adapter belongs to: absolute, or from here, or from the adapter's directory.

    Raises:
        ValueError: there is none.
    """
    base = json_object(content.decode("utf-8")).get(BASE)
    for place in (Path(base), directory / base) if isinstance(base, str) and base else ():
        if place.is_dir():
            return place
    raise ValueError(f"{BASE}: expected a directory, as nothing is downloaded, got {base!r:.200}")


def load_adapter(model: Any, config: LoraConfig, content: bytes) -> None:
    """Load the weights of adapters into a model that has them.

    Raises:
        ValueError: they are damaged, or do not fit the model.
    """
    arrays = {name: tensor.data for name, tensor in from_bytes(content).items()}
    modules, problems = dict(model.named_modules()), []
    state: list[tuple[nn.Parameter, Array]] = []
    for name, target in select_targets(model, config).items():
        layers: list[LoraLinear] = [modules[layer] for layer in target.layers]
        expected = {
            "lora_A": layers[0].lora_A.shape,
            "lora_B": (sum(target.sizes), config.r),
        }
        found = {}
        for part, shape in expected.items():
            key = next((key for key in _names(model, f"{name}.{part}.weight") if key in arrays), None)
            if key is None:
                problems.append(f"missing {PREFIX}{name}.{part}.weight {shape}")
                continue
            found[part] = arrays.pop(key)
            if found[part].shape != shape or found[part].dtype.kind != "f":
                problems.append(f"{key}: expected floats of shape {shape}, got {found[part].dtype} {found[part].shape}")
        if not problems:
            parts = target.split(found["lora_B"])
            state += [(layers[0].lora_A, found["lora_A"])]
            state += [(layer.lora_B, part) for layer, part in zip(layers, parts, strict=True)]
    unused = [name for name in arrays if _is_unused(model, name.removeprefix(PREFIX))]
    problems += [f"unexpected {name} {array.shape}" for name, array in arrays.items() if name not in unused]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"the weights do not fit the model and {ADAPTER_CONFIG}: {'; '.join(problems[:5])}{more}")
    if unused:
        warnings.warn(f"no use for the weights {', '.join(unused)}", stacklevel=4)
    for parameter, array in state:
        parameter.data[...] = array
        parameter.storage.version += 1


def _names(model: Any, name: str) -> list[str]:
    """Names that a file may have for an array: with the family's prefix, or without it."""
    prefix = "" if model.family is None else FAMILIES[model.family].prefix
    return [PREFIX + one for one in (name, prefix + name, name.removeprefix(prefix))]
