"""Gemma, versions 1 to 3: LLaMA's names, weights of norms less one, a scaled embedding, GEGLU.

The second has norms before and after sublayers, soft caps, and every other layer local; the third norms of queries and
keys in the place of soft caps, and five local layers to a global one. Gemma Team, 2024: "Gemma"; 2024: "Gemma 2"; 2025:
"Gemma 3 technical report".
"""

from __future__ import annotations

from typing import Any

from transformer.model.config import TransformerConfig
from transformer.pretrained.huggingface.family import GATED, Setting, Settings, with_defaults
from transformer.pretrained.huggingface.llama import BASIC, LAYER, NORMS, family
from transformer.pretrained.huggingface.rotary import global_layers, kinds_of_layers, layer_types

SIZES: dict[str, Any] = {
    "vocab_size": 256000,
    "max_position_embeddings": 8192,
    "head_dim": 256,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
}
LATER_SIZES = SIZES | {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
CONSTANTS: dict[str, Any] = {"norm": "rms_offset", "scale_embedding": True}
AROUND = {
    "self_attention_residual.norm": "input_layernorm",
    "self_attention_residual.output_norm": "post_attention_layernorm",
    "feed_forward_residual.norm": "pre_feedforward_layernorm",
    "feed_forward_residual.output_norm": "post_feedforward_layernorm",
}


def _every(number: str, usual: int) -> Any:
    """Default of ``layer_types``: each so many-th layer is global."""

    def kinds(settings: Settings) -> list[str]:
        every = settings.get(number, usual)
        return kinds_of_layers(settings, lambda layer: (layer + 1) % every == 0)

    return kinds


def _basic(**defaults: Any) -> tuple[Setting, ...]:
    basic = (setting for setting in BASIC if setting.theirs != "hidden_act")
    bias = Setting("attention_bias", "attention_bias", False)
    return *with_defaults(tuple(basic), **defaults), bias


def _scale_width(config: TransformerConfig) -> int:
    width = config.scale_width or config.head_size
    if width != int(width):
        raise ValueError(f"scale_width: {width} is no integer")
    return int(width)


def _local(layers: Any, **defaults: Any) -> tuple[Setting, ...]:
    settings = (
        Setting("hidden_activation", "activation", "gelu_pytorch_tanh", GATED),
        Setting("query_pre_attn_scalar", "scale_width", 256, revert=_scale_width),
        Setting("sliding_window", "window", 4096, nullable=True),
        Setting("layer_types", "global_layers", layers, convert=global_layers, revert=layer_types),
        Setting("final_logit_softcapping", "softcap_output", nullable=True),
    )
    return with_defaults(settings, **defaults)


GEMMA = family(
    "gemma",
    "Gemma",
    (
        *_basic(
            **SIZES,
            hidden_size=3072,
            intermediate_size=24576,
            num_hidden_layers=28,
            num_attention_heads=16,
            num_key_value_heads=16,
        ),
        Setting("hidden_act", "activation", "gelu_pytorch_tanh", GATED),
    ),
    LAYER | NORMS,
    **CONSTANTS,
)
GEMMA2 = family(
    "gemma2",
    "Gemma2",
    (
        *_basic(**LATER_SIZES),
        *_local(_every("", 2), final_logit_softcapping=30.0),
        Setting("attn_logit_softcapping", "softcap_scores", 50.0, nullable=True),
    ),
    LAYER | AROUND,
    **CONSTANTS,
    norm_outputs=True,
)
GEMMA3 = family(
    "gemma3_text",
    "Gemma3",
    (
        *_basic(**LATER_SIZES | {"vocab_size": 262208, "max_position_embeddings": 131072, "rope_theta": 1e6}),
        *_local(_every("sliding_window_pattern", 6)),
        Setting("rope_local_base_freq", "rotary_local_base", 10000.0),
    ),
    LAYER | AROUND,
    bare="Gemma3Text",
    **CONSTANTS,
    norm_outputs=True,
    norm_queries="by_head",
)
