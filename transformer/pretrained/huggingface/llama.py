"""LLaMA and its relatives: Mistral, Qwen, Phi-3. Rotary positions, RMSNorm, SwiGLU, grouped queries.

Touvron et al., 2023: "LLaMA"; Dubey et al., 2024: "The Llama 3 herd of models"; Jiang et al., 2023: "Mistral 7B"; Yang
et al., 2024: "Qwen2 technical report"; Yang et al., 2025: "Qwen3 technical report"; Abdin et al., 2024: "Phi-3".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from transformer.pretrained.huggingface.family import (
    GATED,
    ROWS,
    Architecture,
    Family,
    Place,
    Setting,
    Settings,
    layers,
    token,
    with_defaults,
)
from transformer.pretrained.huggingface.labels import LABELS
from transformer.pretrained.huggingface.rotary import (
    ROTATION,
    global_layers,
    kinds_of_layers,
    layer_types,
    share_that_turns,
    with_old_rotation,
)

TIED = Setting("tie_word_embeddings", "tie", False, ((True, "output"), (False, "none")))
SIZES = (
    Setting("vocab_size", "vocab_size", 32000),
    Setting("max_position_embeddings", "max_length", 2048),
    Setting("hidden_size", "d_model", 4096),
    Setting("num_hidden_layers", "decoder_layers", 32),
    Setting("num_attention_heads", "num_heads", 32),
    Setting("num_key_value_heads", "num_kv_heads"),
    Setting("intermediate_size", "d_ff", 11008),
)
HEAD = Setting("head_dim", "d_k")


def rest(epsilon: str = "rms_norm_eps", activations: tuple[tuple[str, str], ...] = GATED) -> tuple[Setting, ...]:
    """Settings besides sizes, with the name of the norms' epsilon, and the activations that are known."""
    return (
        Setting("hidden_act", "activation", "silu", activations),
        Setting(epsilon, "norm_eps", 1e-6),
        Setting("initializer_range", "init_std", 0.02),
        Setting("attention_dropout", "attention_dropout", 0.0),
        Setting("resid_pdrop", "dropout", 0.0),  # this one and the next are additions of ours where others ignore them
        Setting("embd_pdrop", "embedding_dropout", 0.0),
        *ROTATION,
        TIED,
        token("pad_token_id"),
        token("bos_token_id", 1),
        token("eos_token_id", 2),
    )


REST = rest()
BASIC = (*SIZES, HEAD, *REST)


def _if_used(window: Any, settings: Settings) -> Any:
    return settings["sliding_window"] if settings["use_sliding_window"] else None


def _last_layers_local(settings: Settings) -> list[str]:
    first = settings.get("max_window_layers", 28)
    return kinds_of_layers(settings, lambda number: number < first)


QWEN_WINDOW = (
    Setting("sliding_window", "window", 4096, convert=_if_used, nullable=True),
    Setting("use_sliding_window", "window", False, convert=_if_used, revert=lambda config: config.window is not None),
    Setting("layer_types", "global_layers", _last_layers_local, convert=global_layers, revert=layer_types),
)

CONSTANTS: dict[str, Any] = {
    "encoder_layers": 0,
    "positions": "rotary",
    "norm": "rms",
    "norm_first": True,
    "bias": False,
    "scale_embedding": False,
}
ATTENTION = {
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "output": "o_proj",
    "query_norm": "q_norm",
    "key_norm": "k_norm",
}
NORMS = {"self_attention_residual.norm": "input_layernorm", "feed_forward_residual.norm": "post_attention_layernorm"}
LAYER: dict[str, str | Place] = {
    **{f"self_attention.{ours}": f"self_attn.{theirs}" for ours, theirs in ATTENTION.items()},
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.expand": "mlp.up_proj",
    "feed_forward.contract": "mlp.down_proj",
}
FUSED: dict[str, str | Place] = {
    **{f"self_attention.{part}": Place("self_attn.qkv_proj", ROWS) for part in ("query", "key", "value")},
    "self_attention.output": "self_attn.o_proj",
    "feed_forward.gate": Place("mlp.gate_up_proj", ROWS),
    "feed_forward.expand": Place("mlp.gate_up_proj", ROWS),
    "feed_forward.contract": "mlp.down_proj",
}


def family(
    model_type: str,
    name: str,
    settings: tuple[Setting, ...],
    layer: Mapping[str, str | Place] = LAYER | NORMS,
    bare: str | None = None,
    last_norm: str = "norm",
    fixed: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
) -> Family:
    """Family whose files have LLaMA's names.

    Args:
        model_type: its name in ``config.json``.
        name: the beginning of its classes' names.
        settings: of ``config.json``.
        layer: places of a layer's parts.
        bare: the beginning of the name of its class without a head, if it is another.
        last_norm: the name of the norm after the last layer.
        fixed: settings that our models have in one way only.
        changes: fields of ours, in the place of LLaMA's.
    """
    return Family(
        model_type=model_type,
        architectures={
            f"{name}ForCausalLM": Architecture("CausalLM"),
            f"{bare or name}Model": Architecture("Decoder", stem="decoder.", bare=True),
            f"{bare or name}ForSequenceClassification": Architecture(
                "SequenceClassifier",
                constants={"head": "output", "output_bias": False, "pooling": "last"},
                places={"output": "score"},
                settings=LABELS,
            ),
        },
        settings=settings,
        constants=CONSTANTS | changes,
        fixed=fixed,
        prepare=with_old_rotation,
        places={
            "decoder.tokens": "model.embed_tokens",
            "decoder.norm": f"model.{last_norm}",
            "output": "lm_head",
            **layers("decoder", "model.layers", layer),
        },
        prefix="model.",
        heads=("lm_head.", "score."),
        ties={"output": {"lm_head.weight": "model.embed_tokens.weight"}, "none": {}},
        buffers=r"rotary_emb\.inv_freq$",
    )


LLAMA = family(
    "llama",
    "Llama",
    (*BASIC, Setting("attention_bias", "attention_bias", False), Setting("mlp_bias", "bias", False)),
)
MISTRAL = family(
    "mistral",
    "Mistral",
    (
        *with_defaults(BASIC, max_position_embeddings=131072, intermediate_size=14336, num_key_value_heads=8),
        Setting("sliding_window", "window", 4096, nullable=True),
    ),
)
QWEN_SIZES: dict[str, Any] = {"vocab_size": 151936, "max_position_embeddings": 32768, "intermediate_size": 22016}
QWEN_SIZES |= {"num_key_value_heads": 32, "bos_token_id": None, "eos_token_id": None}
QWEN2 = family("qwen2", "Qwen2", (*with_defaults((*SIZES, *REST), **QWEN_SIZES), *QWEN_WINDOW), qkv_bias=True)
QWEN3 = family(
    "qwen3",
    "Qwen3",
    (
        *with_defaults(BASIC, **QWEN_SIZES, head_dim=128),
        *QWEN_WINDOW,
        Setting("attention_bias", "attention_bias", False),
    ),
    norm_queries="by_head",
)
PHI3 = family(
    "phi3",
    "Phi3",
    (
        *with_defaults(
            (*SIZES, *REST),
            vocab_size=32064,
            hidden_size=3072,
            intermediate_size=8192,
            max_position_embeddings=4096,
            rms_norm_eps=1e-5,
            pad_token_id=32000,
            eos_token_id=32000,
        ),
        share_that_turns("partial_rotary_factor"),
        Setting("sliding_window", "window", nullable=True),
    ),
    FUSED | NORMS,
)
