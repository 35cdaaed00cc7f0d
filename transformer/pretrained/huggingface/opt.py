"""OPT. Zhang et al., 2022: "OPT: Open pre-trained Transformer language models"."""

from __future__ import annotations

from transformer.pretrained.huggingface.bart import OFFSET
from transformer.pretrained.huggingface.family import ACTIVATIONS, Architecture, Family, Place, Setting, layers, token

OPT = Family(
    model_type="opt",
    architectures={"OPTForCausalLM": Architecture("CausalLM")},
    settings=(
        Setting("vocab_size", "vocab_size", 50272),
        Setting("max_position_embeddings", "max_length", 2048),
        Setting("hidden_size", "d_model", 768),
        Setting("word_embed_proj_dim", "d_model", lambda settings: settings["hidden_size"]),
        Setting("num_hidden_layers", "decoder_layers", 12),
        Setting("num_attention_heads", "num_heads", 12),
        Setting("ffn_dim", "d_ff", 3072),
        Setting("activation_function", "activation", "relu", ACTIVATIONS),
        Setting("do_layer_norm_before", "norm_first", True),
        Setting("enable_bias", "bias", True),
        Setting("dropout", "dropout", 0.1),
        Setting("attention_dropout", "attention_dropout", 0.0),
        Setting("layerdrop", "layer_drop", 0.0),
        Setting("init_std", "init_std", 0.02),
        Setting("tie_word_embeddings", "tie", True, ((True, "output"), (False, "none"))),
        token("pad_token_id", 1),
        token("bos_token_id", 2),
        token("eos_token_id", 2),
    ),
    constants={
        "encoder_layers": 0,
        "positions": "learned",
        "norm_bias": True,
        "scale_embedding": False,
        "embedding_dropout": 0.0,
    },
    fixed={"_remove_final_layer_norm": False, "layer_norm_elementwise_affine": True},
    places={
        "decoder.tokens": "model.decoder.embed_tokens",
        "decoder.positions": Place("model.decoder.embed_positions", OFFSET),
        "decoder.norm": "model.decoder.final_layer_norm",
        "output": "lm_head",
        **layers(
            "decoder",
            "model.decoder.layers",
            {
                "self_attention_residual.norm": "self_attn_layer_norm",
                "self_attention.query": "self_attn.q_proj",
                "self_attention.key": "self_attn.k_proj",
                "self_attention.value": "self_attn.v_proj",
                "self_attention.output": "self_attn.out_proj",
                "feed_forward_residual.norm": "final_layer_norm",
                "feed_forward.expand": "fc1",
                "feed_forward.contract": "fc2",
            },
        ),
    },
    prefix="model.",
    heads=("lm_head.",),
    ties={"output": {"lm_head.weight": "model.decoder.embed_tokens.weight"}, "none": {}},
)
