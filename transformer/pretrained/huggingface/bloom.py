"""BLOOM: ALiBi, and a norm of the embeddings. BigScience Workshop, 2022: "BLOOM"."""

from __future__ import annotations

from transformer.pretrained.huggingface.family import Architecture, Family, Place, Setting, layers, token
from transformer.pretrained.huggingface.gpt_neox import HEAD_BY_HEAD

BLOOM = Family(
    model_type="bloom",
    architectures={"BloomForCausalLM": Architecture("CausalLM")},
    settings=(
        Setting("vocab_size", "vocab_size", 250880),
        Setting("seq_length", "max_length", 2048),
        Setting("hidden_size", "d_model", 64),
        Setting(
            "hidden_size", "d_ff", 64, convert=lambda width, settings: 4 * width, revert=lambda config: config.d_model
        ),
        Setting("n_layer", "decoder_layers", 2),
        Setting("n_head", "num_heads", 8),
        Setting("layer_norm_epsilon", "norm_eps", 1e-5),
        Setting("hidden_dropout", "dropout", 0.0),
        Setting("attention_dropout", "attention_dropout", 0.0),
        Setting("initializer_range", "init_std", 0.02),
        Setting("tie_word_embeddings", "tie", True, ((True, "output"), (False, "none"))),
        token("pad_token_id"),
        token("bos_token_id", 1),
        token("eos_token_id", 2),
    ),
    constants={
        "encoder_layers": 0,
        "positions": "alibi",
        "norm_first": True,
        "embedding_norm": True,
        "activation": "gelu_tanh",
        "scale_embedding": False,
        "embedding_dropout": 0.0,
    },
    fixed={"apply_residual_connection_post_layernorm": False},
    synonyms={"n_embed": "hidden_size", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"},
    places={
        "decoder.tokens": "transformer.word_embeddings",
        "decoder.embedding_norm": "transformer.word_embeddings_layernorm",
        "decoder.norm": "transformer.ln_f",
        "output": "lm_head",
        **layers(
            "decoder",
            "transformer.h",
            {
                "self_attention_residual.norm": "input_layernorm",
                "self_attention.query": Place("self_attention.query_key_value", HEAD_BY_HEAD),
                "self_attention.key": Place("self_attention.query_key_value", HEAD_BY_HEAD),
                "self_attention.value": Place("self_attention.query_key_value", HEAD_BY_HEAD),
                "self_attention.output": "self_attention.dense",
                "feed_forward_residual.norm": "post_attention_layernorm",
                "feed_forward.expand": "mlp.dense_h_to_4h",
                "feed_forward.contract": "mlp.dense_4h_to_h",
            },
        ),
    },
    prefix="transformer.",
    heads=("lm_head.",),
    ties={"output": {"lm_head.weight": "transformer.word_embeddings.weight"}, "none": {}},
)
