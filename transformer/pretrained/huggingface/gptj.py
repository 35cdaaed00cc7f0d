"""GPT-J: one norm before attention and feed-forward network in parallel. Wang and Komatsuzaki, 2021: "GPT-J-6B"."""

from __future__ import annotations

import numpy as np

from transformer.model.config import TransformerConfig
from transformer.pretrained.huggingface.family import (
    ACTIVATIONS,
    Architecture,
    Array,
    Family,
    Layout,
    Place,
    Setting,
    Settings,
    layers,
    token,
)
from transformer.pretrained.huggingface.llama import TIED


def _order(config: TransformerConfig) -> Array:
    """Their row of each of our rows: features that turn together are neighbours there, and here half a width apart."""
    head = np.arange(config.head_size)
    turning = config.rotary_width or config.head_size
    head[:turning] = head[:turning].reshape(-1, 2).T.reshape(-1)
    return (np.arange(config.num_heads)[:, None] * config.head_size + head).reshape(-1)


NEIGHBOURS = Layout(
    lambda array, shapes, config: [array[_order(config)]],
    lambda parts, config: parts[0][np.argsort(_order(config))],
)


def inner(settings: Settings) -> int:
    """Width inside the feed-forward network where ``n_inner`` is null."""
    width: int = 4 * settings["n_embd"]
    return width


GPTJ = Family(
    model_type="gptj",
    architectures={"GPTJForCausalLM": Architecture("CausalLM")},
    settings=(
        Setting("vocab_size", "vocab_size", 50400),
        Setting("n_positions", "max_length", 2048),
        Setting("n_embd", "d_model", 4096),
        Setting("n_layer", "decoder_layers", 28),
        Setting("n_head", "num_heads", 16),
        Setting("n_inner", "d_ff", inner),
        Setting("rotary_dim", "rotary_width", 64, nullable=True),
        Setting("activation_function", "activation", "gelu_new", ACTIVATIONS),
        Setting("layer_norm_epsilon", "norm_eps", 1e-5),
        Setting("resid_pdrop", "dropout", 0.0),
        Setting("embd_pdrop", "embedding_dropout", 0.0),
        Setting("attn_pdrop", "attention_dropout", 0.0),
        Setting("initializer_range", "init_std", 0.02),
        TIED,
        token("pad_token_id"),
        token("bos_token_id", 50256),
        token("eos_token_id", 50256),
    ),
    constants={
        "encoder_layers": 0,
        "positions": "rotary",
        "norm_first": True,
        "parallel": "one_norm",
        "attention_bias": False,
        "output_bias": True,
        "scale_embedding": False,
    },
    fixed={},
    synonyms={
        "max_position_embeddings": "n_positions",
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
    places={
        "decoder.tokens": "transformer.wte",
        "decoder.norm": "transformer.ln_f",
        "output": "lm_head",
        **layers(
            "decoder",
            "transformer.h",
            {
                "self_attention_residual.norm": "ln_1",
                "self_attention.query": Place("attn.q_proj", NEIGHBOURS),
                "self_attention.key": Place("attn.k_proj", NEIGHBOURS),
                "self_attention.value": "attn.v_proj",
                "self_attention.output": "attn.out_proj",
                "feed_forward.expand": "mlp.fc_in",
                "feed_forward.contract": "mlp.fc_out",
            },
        ),
    },
    prefix="transformer.",
    heads=("lm_head.",),
    ties={"output": {"lm_head.weight": "transformer.wte.weight"}, "none": {}},
    buffers=r"\.attn\.((masked_)?bias|embed_positions)$",
)
