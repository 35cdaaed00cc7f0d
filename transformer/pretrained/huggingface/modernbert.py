"""ModernBERT: rotary positions, norms first, gates, windows. Warner et al., 2024: "Smarter, better, faster, longer"."""

from __future__ import annotations

from typing import Any

from transformer.pretrained.huggingface.bert import encoder_classes, encoder_places, output_matrix, unused
from transformer.pretrained.huggingface.family import ACTIVATIONS, GATED, ROWS, Family, Place, Setting, Settings, token
from transformer.pretrained.huggingface.labels import head_dropout
from transformer.pretrained.huggingface.rotary import global_layers, kinds_of_layers, layer_types, with_old_rotation


def _with_old_rotation(settings: Settings) -> Settings:
    """Settings with ``global_rope_theta`` and ``local_rope_theta``, which all versions read: see rotary."""
    settings = with_old_rotation(settings)
    scaling = settings.pop("rope_scaling", None) or {}
    if not isinstance(scaling, dict):
        raise ValueError(f"rope_scaling: expected a table, got {scaling!r:.80}")
    if (kind := scaling.get("rope_type", scaling.get("type", "default"))) != "default":
        raise ValueError(f"rope_scaling: models here know only 'default', got {kind!r:.80}")
    for name, old in (("rope_theta", "global_rope_theta"), ("rope_local_base_freq", "local_rope_theta")):
        if settings.get(name) is not None:
            settings[old] = settings[name]
    return settings


def _every_third_global(settings: Settings) -> list[str]:
    every = settings.get("global_attn_every_n_layers") or 3
    return kinds_of_layers(settings, lambda number: number % every == 0)


HEADS = ("head.", "decoder.", "classifier.")
NORMED_HEAD: dict[str, Any] = {"head": "transform_norm", "output_bias": True}
HEAD: dict[str, str | Place] = {"transform": "head.dense", "norm": "head.norm"}
MODERNBERT = Family(
    model_type="modernbert",
    architectures=encoder_classes(
        "ModernBert",
        HEAD | {"output": "decoder"},
        HEAD | {"output": "classifier"},
        texts=NORMED_HEAD,
        tokens=NORMED_HEAD,
        settings=(
            Setting("classifier_pooling", "pooling", "cls", (("cls", "first"), ("mean", "mean"))),
            head_dropout("classifier_dropout", 0.0),
        ),
    ),
    settings=(
        Setting("vocab_size", "vocab_size", 50368),
        Setting("max_position_embeddings", "max_length", 8192),
        Setting("hidden_size", "d_model", 768),
        Setting("num_hidden_layers", "encoder_layers", 22),
        Setting("num_attention_heads", "num_heads", 12),
        Setting("intermediate_size", "d_ff", 1152),
        Setting("hidden_activation", "activation", "gelu", GATED),
        Setting("classifier_activation", "head_activation", "gelu", ACTIVATIONS),
        Setting("classifier_bias", "head_bias", False),
        Setting("decoder_bias", "output_bias", True),
        Setting("mlp_bias", "bias", False),
        Setting("attention_bias", "attention_bias", False),
        Setting("norm_bias", "norm_bias", False),
        Setting("norm_eps", "norm_eps", 1e-5),
        Setting("initializer_range", "init_std", 0.02),
        Setting("resid_pdrop", "dropout", 0.0),  # an addition of ours, which others ignore
        Setting("embedding_dropout", "embedding_dropout", 0.0),
        Setting("attention_dropout", "attention_dropout", 0.0),
        Setting("mlp_dropout", "activation_dropout", 0.0),
        Setting("global_rope_theta", "rotary_base", 160_000.0),
        Setting("local_rope_theta", "rotary_local_base", 10_000.0),
        Setting(
            "local_attention",  # half of it to either side
            "window",
            128,
            convert=lambda width, settings: width // 2 + 1,
            revert=lambda config: 128 if config.window is None else 2 * (config.window - 1),
        ),
        Setting("layer_types", "global_layers", _every_third_global, convert=global_layers, revert=layer_types),
        Setting("tie_word_embeddings", "tie", True, ((True, "all"), (False, "none"))),
        token("pad_token_id", 50283),
        token("bos_token_id", 50281),
        token("eos_token_id", 50282),
        token("mask_token_id"),  # an addition of ours, which others ignore
    ),
    constants={
        "decoder_layers": 0,
        "positions": "rotary",
        "norm_first": True,
        "norm_inputs": "all_but_first",
        "scale_embedding": False,
        "embedding_norm": True,
    },
    fixed={},
    prepare=_with_old_rotation,
    places=encoder_places(
        "model.",
        {"tokens": "embeddings.tok_embeddings", "embedding_norm": "embeddings.norm", "norm": "final_norm"},
        {
            **{f"self_attention.{part}": Place("attn.Wqkv", ROWS) for part in ("query", "key", "value")},
            "self_attention.output": "attn.Wo",
            "self_attention_residual.norm": "attn_norm",
            "feed_forward.gate": Place("mlp.Wi", ROWS),
            "feed_forward.expand": Place("mlp.Wi", ROWS),
            "feed_forward.contract": "mlp.Wo",
            "feed_forward_residual.norm": "mlp_norm",
        },
        "layers",
    ),
    prefix="model.",
    heads=HEADS,
    unused=unused("model.", HEADS),
    **output_matrix("decoder", "model.embeddings.tok_embeddings"),
)
