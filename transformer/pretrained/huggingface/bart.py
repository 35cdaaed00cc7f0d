"""BART and Marian: one architecture, with learned positions and with sinusoidal ones.

Lewis et al., 2020: "BART: Denoising sequence-to-sequence pre-training"; Junczys-Dowmunt et al., 2018: "Marian".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from transformer.pretrained.huggingface.family import ACTIVATIONS, Architecture, Family, Layout, Place, Setting, token

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
    Setting("decoder_attention_heads", "num_heads", 16),
    Setting("encoder_ffn_dim", "d_ff", 4096),
    Setting("decoder_ffn_dim", "d_ff", 4096),
    Setting("encoder_layerdrop", "layer_drop", 0.0),
    Setting("decoder_layerdrop", "layer_drop", 0.0),
    Setting("activation_function", "activation", "gelu", ACTIVATIONS),
    Setting("dropout", "dropout", 0.1),
    Setting("attention_dropout", "attention_dropout", 0.0),
    Setting("activation_dropout", "activation_dropout", 0.0),
    Setting("init_std", "init_std", 0.02),
    Setting("scale_embedding", "scale_embedding", False),
)
FIXED = {"tie_word_embeddings": True, "is_decoder": False}
CONSTANTS = {"output_bias": True, "tie": "all"}
ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
PLACES: dict[str, str | Place] = {
    "encoder.tokens": "model.shared",
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
COMMON: dict[str, Any] = {
    "prefix": "model.",
    "heads": ("lm_head.", "final_logits_bias"),
    "output": "lm_head.weight",
    "copies": {
        "model.encoder.embed_tokens.weight": "model.shared.weight",
        "model.decoder.embed_tokens.weight": "model.shared.weight",
        "lm_head.weight": "model.shared.weight",
    },
    "untied": "input",
    "optional": ("final_logits_bias",),
}

BART = Family(
    model_type="bart",
    architectures={"BartForConditionalGeneration": Architecture("Transformer")},
    settings=(
        *SETTINGS,
        Setting("vocab_size", "vocab_size", 50265),
        token("pad_token_id", 1),
        token("bos_token_id", 0),
        token("eos_token_id", 2),
        token("decoder_start_token_id", 2),
    ),
    constants={**CONSTANTS, "positions": "learned", "embedding_norm": True},
    fixed=FIXED,
    places={
        **PLACES,
        "encoder.positions": Place("model.encoder.embed_positions", OFFSET),
        "decoder.positions": Place("model.decoder.embed_positions", OFFSET),
        "encoder.embedding_norm": "model.encoder.layernorm_embedding",
        "decoder.embedding_norm": "model.decoder.layernorm_embedding",
    },
    buffers=r"(encoder|decoder)\.version$",
    **COMMON,
)

MARIAN = Family(
    model_type="marian",
    architectures={"MarianMTModel": Architecture("Transformer")},
    settings=(
        *SETTINGS,
        Setting("vocab_size", "vocab_size", 58101),
        Setting("decoder_vocab_size", "vocab_size", lambda settings: settings.get("vocab_size", 58101)),
        token("pad_token_id", 58100),
        token("bos_token_id"),
        token("eos_token_id", 0),
        token("decoder_start_token_id", 58100),
    ),
    constants={**CONSTANTS, "positions": "sinusoidal_halves"},
    fixed={**FIXED, "share_encoder_decoder_embeddings": True},
    places=PLACES,
    buffers=r"embed_positions\.weight$",  # sines and cosines
    purpose="translate",
    **COMMON,
)
