"""GPT-NeoX and Pythia: parallel residuals, and heads of which a part turns.

Black et al., 2022: "GPT-NeoX-20B"; Biderman et al., 2023: "Pythia".
"""

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
    Shape,
    layers,
    token,
)
from transformer.pretrained.huggingface.llama import TIED
from transformer.pretrained.huggingface.rotary import read_scaling, share_that_turns, with_old_rotation, write_scaling


def _split_heads(array: Array, shapes: list[Shape], config: TransformerConfig) -> list[Array]:
    parts = array.reshape(config.num_heads, 3, config.head_size, *array.shape[1:])
    return [parts[:, number].reshape(shape) for number, shape in enumerate(shapes)]


def _join_heads(parts: list[Array], config: TransformerConfig) -> Array:
    apart = [part.reshape(config.num_heads, config.head_size, *part.shape[1:]) for part in parts]
    return np.stack(apart, axis=1).reshape(-1, *parts[0].shape[1:])


# The rows of queries, keys and values alternate, head by head.
HEAD_BY_HEAD = Layout(_split_heads, _join_heads)

GPT_NEOX = Family(
    model_type="gpt_neox",
    architectures={"GPTNeoXForCausalLM": Architecture("CausalLM")},
    settings=(
        Setting("vocab_size", "vocab_size", 50432),
        Setting("max_position_embeddings", "max_length", 2048),
        Setting("hidden_size", "d_model", 6144),
        Setting("num_hidden_layers", "decoder_layers", 44),
        Setting("num_attention_heads", "num_heads", 64),
        Setting("intermediate_size", "d_ff", 24576),
        Setting("hidden_act", "activation", "gelu", ACTIVATIONS),
        Setting("layer_norm_eps", "norm_eps", 1e-5),
        Setting("use_parallel_residual", "parallel", True, ((True, "two_norms"), (False, "no"))),
        Setting("attention_bias", "attention_bias", True),
        Setting("rotary_emb_base", "rotary_base", 10000.0),
        Setting("rope_scaling", "rotary_scaling", convert=read_scaling, revert=write_scaling),
        share_that_turns("rotary_pct", 0.25),
        Setting("hidden_dropout", "dropout", 0.0),
        Setting("attention_dropout", "attention_dropout", 0.0),
        Setting("initializer_range", "init_std", 0.02),
        TIED,
        token("pad_token_id"),
        token("bos_token_id", 0),
        token("eos_token_id", 2),
    ),
    constants={"encoder_layers": 0, "positions": "rotary", "norm_first": True, "scale_embedding": False},
    fixed={"is_decoder": False},
    synonyms={"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
    prepare=with_old_rotation,
    places={
        "decoder.tokens": "gpt_neox.embed_in",
        "decoder.norm": "gpt_neox.final_layer_norm",
        "output": "embed_out",
        **layers(
            "decoder",
            "gpt_neox.layers",
            {
                "self_attention_residual.norm": "input_layernorm",
                "self_attention.query": Place("attention.query_key_value", HEAD_BY_HEAD),
                "self_attention.key": Place("attention.query_key_value", HEAD_BY_HEAD),
                "self_attention.value": Place("attention.query_key_value", HEAD_BY_HEAD),
                "self_attention.output": "attention.dense",
                "feed_forward_residual.norm": "post_attention_layernorm",
                "feed_forward.expand": "mlp.dense_h_to_4h",
                "feed_forward.contract": "mlp.dense_4h_to_h",
            },
        ),
    },
    prefix="gpt_neox.",
    heads=("embed_out.",),
    ties={"output": {"embed_out.weight": "gpt_neox.embed_in.weight"}, "none": {}},
    buffers=r"attention\.((masked_)?bias|rotary_emb\.inv_freq)$",
)
