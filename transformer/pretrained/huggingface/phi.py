"""Phi 1 to 2, StableLM, StarCoder 2 and OLMo 2: LLaMA's names, with other norms, residuals or networks.

Li et al., 2023: "Textbooks are all you need II: phi-1.5"; Bellagente et al., 2024: "Stable LM 2 1.6B"; Lozhkov et al.,
2024: "StarCoder 2 and The Stack v2"; OLMo Team, 2024: "2 OLMo 2 Furious".
"""

from __future__ import annotations

from transformer.pretrained.huggingface.family import ACTIVATIONS, Setting, with_defaults
from transformer.pretrained.huggingface.llama import BASIC, LAYER, NORMS, SIZES, family, rest
from transformer.pretrained.huggingface.rotary import share_that_turns

PROJECTIONS = {f"self_attention.{name}": LAYER[f"self_attention.{name}"] for name in ("query", "key", "value")}

PHI = family(
    "phi",
    "Phi",
    (
        *with_defaults(
            (*SIZES, *rest("layer_norm_eps", ACTIVATIONS)),
            vocab_size=51200,
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=24,
            hidden_act="gelu_new",
            layer_norm_eps=1e-5,
        ),
        share_that_turns("partial_rotary_factor", 0.5),
    ),
    PROJECTIONS
    | {
        "self_attention_residual.norm": "input_layernorm",
        "self_attention.output": "self_attn.dense",
        "feed_forward.expand": "mlp.fc1",
        "feed_forward.contract": "mlp.fc2",
    },
    last_norm="final_layernorm",
    fixed={"qk_layernorm": False},
    norm="layer",
    bias=True,
    output_bias=True,
    parallel="one_norm",
)
STABLELM = family(
    "stablelm",
    "StableLm",
    (
        *with_defaults(
            (*SIZES, *rest("layer_norm_eps")),
            vocab_size=50304,
            hidden_size=2560,
            intermediate_size=6912,
            max_position_embeddings=4096,
            num_key_value_heads=32,
            layer_norm_eps=1e-5,
            bos_token_id=0,
            eos_token_id=0,
        ),
        share_that_turns("partial_rotary_factor", 0.25),
        Setting("use_qkv_bias", "qkv_bias", False),
        Setting("use_parallel_residual", "parallel", False, ((True, "one_norm"), (False, "no"))),
    ),
    fixed={"qk_layernorm": False},
    norm="layer",
    norm_bias=True,
)
STARCODER2 = family(
    "starcoder2",
    "Starcoder2",
    (
        *with_defaults(
            (*SIZES, *rest("norm_epsilon", ACTIVATIONS)),
            vocab_size=49152,
            hidden_size=3072,
            intermediate_size=12288,
            num_hidden_layers=30,
            num_attention_heads=24,
            num_key_value_heads=2,
            hidden_act="gelu_pytorch_tanh",
            max_position_embeddings=4096,
            initializer_range=0.018042,
            norm_epsilon=1e-5,
            tie_word_embeddings=True,
            bos_token_id=50256,
            eos_token_id=50256,
        ),
        Setting("sliding_window", "window", nullable=True),
        Setting("use_bias", "bias", True),
    ),
    PROJECTIONS
    | NORMS
    | {
        "self_attention.output": LAYER["self_attention.output"],
        "feed_forward.expand": "mlp.c_fc",
        "feed_forward.contract": "mlp.c_proj",
    },
    norm="layer",
    norm_bias=True,
)
OLMO2 = family(
    "olmo2",
    "Olmo2",
    (
        *with_defaults(
            tuple(setting for setting in BASIC if setting.theirs != "head_dim"),
            vocab_size=50304,
            rms_norm_eps=1e-5,
            pad_token_id=1,
            bos_token_id=None,
            eos_token_id=50279,
        ),
        Setting("attention_bias", "attention_bias", False),
    ),
    LAYER
    | {
        "self_attention_residual.output_norm": "post_attention_layernorm",
        "feed_forward_residual.output_norm": "post_feedforward_layernorm",
    },
    norm_inputs="none",
    norm_outputs=True,
    norm_queries="all_heads",
)
