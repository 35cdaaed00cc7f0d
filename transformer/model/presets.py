"""Presets: models of published sizes, and some for a laptop."""

from __future__ import annotations

from typing import Any

_GPT = {
    "encoder_layers": 0,
    "positions": "learned",
    "norm_first": True,
    "activation": "gelu_tanh",
    "tie": "output",
    "scale_embedding": False,
    "init_std": 0.02,
    "pad_id": None,
    "bos_id": None,
    "eos_id": None,
}
_BERT = {
    "decoder_layers": 0,
    "positions": "learned",
    "norm_eps": 1e-12,
    "activation": "gelu",
    "output_bias": True,
    "scale_embedding": False,
    "embedding_norm": True,
    "token_types": 2,
    "init_std": 0.02,
    "attention_dropout": 0.1,
    "bos_id": None,
    "eos_id": None,
}

PRESETS: dict[str, dict[str, Any]] = {
    # GPTs of laptop size: nanoGPT's recipe for a CPU, and two steps up
    "nano": {
        **_GPT,
        "d_model": 128,
        "num_heads": 4,
        "d_ff": 512,
        "decoder_layers": 4,
        "max_length": 64,
        "dropout": 0.0,
    },
    "small": {**_GPT, "d_model": 384, "num_heads": 6, "d_ff": 1536, "decoder_layers": 6, "max_length": 128},
    "medium": {**_GPT, "d_model": 512, "num_heads": 8, "d_ff": 2048, "decoder_layers": 6, "max_length": 256},
    # Vaswani et al., 2017, Table 3
    "base": {"d_model": 512, "num_heads": 8, "d_ff": 2048, "encoder_layers": 6, "decoder_layers": 6},
    "big": {
        "d_model": 1024,
        "num_heads": 16,
        "d_ff": 4096,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "dropout": 0.3,
    },
    # Radford et al., 2019, the smallest of four
    "gpt2": {
        **_GPT,
        "vocab_size": 50257,
        "d_model": 768,
        "num_heads": 12,
        "d_ff": 3072,
        "decoder_layers": 12,
        "max_length": 1024,
        "attention_dropout": 0.1,
        "bos_id": 50256,
        "eos_id": 50256,
    },
    # Devlin et al., 2019, BASE uncased
    "bert-base": {
        **_BERT,
        "vocab_size": 30522,
        "d_model": 768,
        "num_heads": 12,
        "d_ff": 3072,
        "encoder_layers": 12,
        "mask_id": 103,
    },
    # The Transformer as decoders of 2023 have it (Touvron et al., 2023), of laptop size
    "llama-nano": {
        **_GPT,
        "d_model": 128,
        "num_heads": 4,
        "num_kv_heads": 2,
        "d_ff": 344,
        "decoder_layers": 4,
        "max_length": 64,
        "dropout": 0.0,
        "positions": "rotary",
        "norm": "rms",
        "activation": "swiglu",
        "bias": False,
    },
}
