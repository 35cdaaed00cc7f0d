"""GPT-2. Radford et al., 2019: "Language models are unsupervised multitask learners"."""

from __future__ import annotations

from typing import Any

import numpy as np

from transformer.pretrained.huggingface.family import ACTIVATIONS, Architecture, Family, Layout, Place, Setting, token

# Matrices multiply from the right, and those of queries, keys and values stand side by side.
CONV1D = Layout(
    lambda array, shapes, config: np.split(array.T, len(shapes)), lambda parts, config: np.concatenate(parts).T
)


def _inner(settings: dict[str, Any]) -> Any:
    width = settings.get("n_embd", 768)
    return 4 * width if isinstance(width, int) else width


GPT2 = Family(
    model_type="gpt2",
    architectures={"GPT2LMHeadModel": Architecture("CausalLM"), "GPT2Model": Architecture("CausalLM", bare=True)},
    settings=(
        Setting("vocab_size", "vocab_size", 50257),
        Setting("n_positions", "max_length", 1024),
        Setting("n_embd", "d_model", 768),
        Setting("n_layer", "decoder_layers", 12),
        Setting("n_head", "num_heads", 12),
        Setting("n_inner", "d_ff", _inner),
        Setting("activation_function", "activation", "gelu_new", ACTIVATIONS),
        Setting("resid_pdrop", "dropout", 0.1),
        Setting("embd_pdrop", "embedding_dropout", 0.1),
        Setting("attn_pdrop", "attention_dropout", 0.1),
        Setting("layer_norm_epsilon", "norm_eps", 1e-5),
        Setting("initializer_range", "init_std", 0.02),
        Setting("scale_attn_weights", "scale_scores", True),
        Setting("scale_attn_by_inverse_layer_idx", "scale_by_layer", False),
        Setting("tie_word_embeddings", "tie", True, ((True, "output"), (False, "none"))),
        token("pad_token_id"),
        token("bos_token_id", 50256),
        token("eos_token_id", 50256),
    ),
    constants={"encoder_layers": 0, "positions": "learned", "norm_first": True, "scale_embedding": False},
    fixed={"add_cross_attention": False},
    synonyms={
        "max_position_embeddings": "n_positions",
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
    places={
        "decoder.tokens": "transformer.wte",
        "decoder.positions": "transformer.wpe",
        "decoder.layers.{n}.self_attention_residual.norm": "transformer.h.{n}.ln_1",
        "decoder.layers.{n}.self_attention.query": Place("transformer.h.{n}.attn.c_attn", CONV1D),
        "decoder.layers.{n}.self_attention.key": Place("transformer.h.{n}.attn.c_attn", CONV1D),
        "decoder.layers.{n}.self_attention.value": Place("transformer.h.{n}.attn.c_attn", CONV1D),
        "decoder.layers.{n}.self_attention.output": Place("transformer.h.{n}.attn.c_proj", CONV1D),
        "decoder.layers.{n}.feed_forward_residual.norm": "transformer.h.{n}.ln_2",
        "decoder.layers.{n}.feed_forward.expand": Place("transformer.h.{n}.mlp.c_fc", CONV1D),
        "decoder.layers.{n}.feed_forward.contract": Place("transformer.h.{n}.mlp.c_proj", CONV1D),
        "decoder.norm": "transformer.ln_f",
        "output": "lm_head",
    },
    prefix="transformer.",
    heads=("lm_head.",),
    ties={"output": {"lm_head.weight": "transformer.wte.weight"}, "none": {}},
    buffers=r"\.attn\.(masked_)?bias$",
)
