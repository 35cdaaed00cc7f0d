"""BART and its relatives: Marian and Pegasus, mBART, M2M-100 and NLLB. They differ in positions and norms.

Lewis et al., 2020: "BART: Denoising sequence-to-sequence pre-training"; Junczys-Dowmunt et al., 2018: "Marian";
Zhang et al., 2020: "PEGASUS"; Liu et al., 2020: "Multilingual denoising pre-training"; Fan et al., 2021: "Beyond
English-centric multilingual machine translation"; NLLB Team, 2022: "No language left behind".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from transformer.model.config import TransformerConfig
from transformer.model.positions import SinusoidalHalvesPositions
from transformer.pretrained.huggingface.family import (
    ACTIVATIONS,
    Architecture,
    Array,
    Family,
    Layout,
    Place,
    Setting,
    Settings,
    token,
    with_defaults,
)

# The first two rows are never read: position 0 is the third.
OFFSET = Layout(
    lambda array, shapes, config: [array[2:]],
    lambda parts, config: np.concatenate([np.zeros((2, parts[0].shape[1]), parts[0].dtype), parts[0]]),
)
ROW = Layout(lambda array, shapes, config: [array[0]], lambda parts, config: parts[0][None])

SETTINGS = (
    Setting("max_position_embeddings", "max_length", 1024),
    Setting("d_model", "d_model", 1024),
    Setting("encoder_layers", "encoder_layers", 12),
    Setting("decoder_layers", "decoder_layers", 12),
    Setting("encoder_attention_heads", "num_heads", 16),
    Setting("decoder_attention_heads", "decoder_heads", 16),
    Setting("encoder_ffn_dim", "d_ff", 4096),
    Setting("decoder_ffn_dim", "decoder_ff", 4096),
    Setting("encoder_layerdrop", "layer_drop", 0.0),
    Setting("decoder_layerdrop", "layer_drop", 0.0),
    Setting("activation_function", "activation", "gelu", ACTIVATIONS),
    Setting("dropout", "dropout", 0.1),
    Setting("attention_dropout", "attention_dropout", 0.0),
    Setting("activation_dropout", "activation_dropout", 0.0),
    Setting("init_std", "init_std", 0.02),
    Setting("scale_embedding", "scale_embedding", False),
)
FIXED = {"is_decoder": False}
CONSTANTS = {"output_bias": True}
TIED = Setting("tie_word_embeddings", "tie", True, ((True, "all"), (False, "none"), (False, "input")))
ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
PLACES: dict[str, str | Place] = {
    "encoder.tokens": "model.shared",
    "decoder.tokens": "model.decoder.embed_tokens",
    "encoder.norm": "model.encoder.layer_norm",
    "decoder.norm": "model.decoder.layer_norm",
    "output": "lm_head",
    "output.bias": Place("final_logits_bias", ROW),
    **{
        f"{stack}.layers.{{n}}.{ours}": f"model.{stack}.layers.{{n}}.{theirs}"
        for stack in ("encoder", "decoder")
        for ours, theirs in {
            "self_attention_residual.norm": "self_attn_layer_norm",
            "cross_attention_residual.norm": "encoder_attn_layer_norm",
            "feed_forward.expand": "fc1",
            "feed_forward.contract": "fc2",
            "feed_forward_residual.norm": "final_layer_norm",
            **{f"self_attention.{ours}": f"self_attn.{theirs}" for ours, theirs in ATTENTION.items()},
            **{f"cross_attention.{ours}": f"encoder_attn.{theirs}" for ours, theirs in ATTENTION.items()},
        }.items()
    },
}
ENCODER, DECODER = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
SHARED, OUTPUT = "model.shared.weight", "lm_head.weight"
COMMON: dict[str, Any] = {
    "fixed": FIXED,
    "prefix": "model.",
    "heads": ("lm_head.", "final_logits_bias"),
    "ties": {
        "all": {ENCODER: SHARED, DECODER: SHARED, OUTPUT: SHARED},
        "input": {ENCODER: SHARED, DECODER: SHARED},
        "none": {SHARED: ENCODER},  # which has its place, and all of them their own
    },
    "spare": SHARED,
    "optional": ("final_logits_bias",),
}


def learned(stacks: tuple[str, ...] = ("encoder", "decoder")) -> dict[str, str | Place]:
    """Places of learned positions, whose first two rows are never read, and of the norms after them."""
    places: dict[str, str | Place] = {}
    for stack in stacks:
        places[f"{stack}.positions"] = Place(f"model.{stack}.embed_positions", OFFSET)
        places[f"{stack}.embedding_norm"] = f"model.{stack}.layernorm_embedding"
    return places


def tokens(pad: int, bos: int | None, eos: int, start: int | None) -> tuple[Setting, ...]:
    """Settings of the special tokens, with their defaults."""
    names = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    return tuple(token(name, default) for name, default in zip(names, (pad, bos, eos, start), strict=True))


BART = Family(
    model_type="bart",
    architectures={"BartForConditionalGeneration": Architecture("Transformer")},
    settings=(*SETTINGS, Setting("vocab_size", "vocab_size", 50265), TIED, *tokens(1, 0, 2, 2)),
    constants={**CONSTANTS, "positions": "learned", "embedding_norm": True},
    places={**PLACES, **learned()},
    buffers=r"(encoder|decoder)\.version$",
    **COMMON,
)
MBART = Family(
    model_type="mbart",
    architectures={"MBartForConditionalGeneration": Architecture("Transformer")},
    settings=(*SETTINGS, Setting("vocab_size", "vocab_size", 50265), TIED, *tokens(1, 0, 2, None)),
    constants={**CONSTANTS, "positions": "learned", "embedding_norm": True, "norm_first": True},
    places={**PLACES, **learned()},
    buffers=r"(encoder|decoder)\.version$",
    purpose="translate",
    **COMMON,
)


def _position_tables(config: TransformerConfig) -> dict[str, Array]:
    table = SinusoidalHalvesPositions(config, causal=False).table
    return {f"model.{stack}.embed_positions.weight": table for stack in ("encoder", "decoder")}


PEGASUS = Family(
    model_type="pegasus",
    architectures={"PegasusForConditionalGeneration": Architecture("Transformer")},
    settings=(*SETTINGS, Setting("vocab_size", "vocab_size", 50265), TIED, *tokens(0, None, 1, 0)),
    constants={**CONSTANTS, "positions": "sinusoidal_halves", "norm_first": True},
    places=PLACES,
    buffers=r"embed_positions\.weight$",  # sines and cosines
    computed=_position_tables,
    purpose="summarize",
    **COMMON,
)
M2M100 = Family(
    model_type="m2m_100",
    architectures={"M2M100ForConditionalGeneration": Architecture("Transformer")},
    settings=(
        *with_defaults(
            SETTINGS,
            activation_function="relu",
            encoder_layerdrop=0.05,
            decoder_layerdrop=0.05,
            attention_dropout=0.1,
            scale_embedding=True,
        ),
        Setting("vocab_size", "vocab_size", 128112),
        TIED,
        *tokens(1, 0, 2, 2),
    ),
    constants={"positions": "sinusoidal_fairseq", "norm_first": True},
    places=PLACES,
    buffers=r"embed_positions\.weights?$|(encoder|decoder)\.version$",  # sines and cosines
    purpose="translate",
    **COMMON,
)


def _separate(settings: Settings) -> Settings:
    """Settings with the ties of a Marian model, which two settings decide."""
    tied, shared = (
        settings.get(name) is not False for name in ("tie_word_embeddings", "share_encoder_decoder_embeddings")
    )
    return settings | {"tie": "none" if not tied else "all" if shared else "output"}


MARIAN = Family(
    model_type="marian",
    architectures={"MarianMTModel": Architecture("Transformer")},
    settings=(
        *SETTINGS,
        Setting("vocab_size", "vocab_size", 58101),
        Setting("decoder_vocab_size", "vocab_size", lambda settings: settings["vocab_size"]),
        Setting(
            "tie_word_embeddings",
            "tie",
            convert=lambda value, settings: settings["tie"],
            revert=lambda config: config.tie not in ("none", "input"),
        ),
        Setting(
            "share_encoder_decoder_embeddings",
            "tie",
            convert=lambda value, settings: settings["tie"],
            revert=lambda config: config.tie != "output",
        ),
        *tokens(58100, None, 0, 58100),
    ),
    constants={**CONSTANTS, "positions": "sinusoidal_halves"},
    prepare=_separate,
    places=PLACES,
    buffers=r"embed_positions\.weight$",  # sines and cosines
    purpose="translate",
    variants=((lambda config: config.tie == "output", {"encoder.tokens": "model.encoder.embed_tokens"}),),
    **COMMON | {"ties": {**COMMON["ties"], "output": {OUTPUT: DECODER}}},
)
