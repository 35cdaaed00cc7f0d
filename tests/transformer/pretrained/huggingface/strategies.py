"""Small configurations of each family, drawn at random: every setting that the family reads, and all that matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Settings = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
VOCABULARY, PLACES = 60, 32
PAD, BOS, EOS = 0, 1, 2
TOKENS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
EPSILON = st.sampled_from([1e-6, 1e-5, 1e-3])
GATED = st.sampled_from(["silu", "gelu_pytorch_tanh", "gelu", "relu"])
PLAIN = st.sampled_from(["gelu", "gelu_new", "gelu_fast", "quick_gelu", "relu", "silu", "tanh", "gelu_pytorch_tanh"])
YES = st.booleans()


@st.composite
def heads(draw: Draw) -> tuple[int, int, int]:
    """Heads of queries, heads of keys and values, and the width of the model, which they divide."""
    groups = draw(st.sampled_from([1, 2]))
    count = groups * draw(st.sampled_from([1, 2]))
    return count, groups, count * draw(st.sampled_from([4, 8]))


@st.composite
def scaling(draw: Draw, features: int) -> Settings | None:
    """Content of ``rope_scaling``."""
    kind = draw(st.sampled_from(["none", "linear", "llama3", "yarn"]))
    if kind == "none":
        return None
    factor = {"rope_type": kind, "factor": draw(st.sampled_from([2.0, 8.0]))}
    if kind == "llama3":
        factor |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    if kind == "yarn" and draw(YES):
        factor |= {"beta_fast": 4.0, "beta_slow": 1.0, "attention_factor": 1.5}
    return factor if kind == "linear" else factor | {"original_max_position_embeddings": 16}


@st.composite
def llama_like(draw: Draw, head_dim: bool = True) -> Settings:
    """Settings that LLaMA's relatives share."""
    count, groups, width = draw(heads())
    features = draw(st.sampled_from([4, 8])) if head_dim else width // count
    return {
        **TOKENS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": PLACES,
        "hidden_size": width,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": count,
        "num_key_value_heads": groups,
        "intermediate_size": 12,
        **({"head_dim": features} if head_dim else {}),
        "hidden_act": draw(GATED),
        "rms_norm_eps": draw(EPSILON),
        "rope_theta": draw(st.sampled_from([100.0, 10000.0])),
        "rope_scaling": draw(scaling(features)),
        "tie_word_embeddings": draw(YES),
    }


@st.composite
def llama(draw: Draw) -> Settings:
    return draw(llama_like()) | {"attention_bias": draw(YES), "mlp_bias": draw(YES)}


@st.composite
def mistral(draw: Draw) -> Settings:
    return draw(llama_like()) | {"sliding_window": draw(st.sampled_from([None, 3, 40]))}


@st.composite
def qwen2(draw: Draw) -> Settings:
    local = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": draw(st.integers(0, 2))}
    return draw(llama_like(head_dim=False)) | draw(st.sampled_from([{}, local]))


@st.composite
def qwen3(draw: Draw) -> Settings:
    local = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": draw(st.integers(0, 2))}
    return draw(llama_like()) | draw(st.sampled_from([{}, local])) | {"attention_bias": draw(YES)}


@st.composite
def phi3(draw: Draw) -> Settings:
    settings = draw(llama_like(head_dim=False))
    share = draw(st.sampled_from([1.0, 0.5]))
    pairs = int(settings["hidden_size"] // settings["num_attention_heads"] * share) // 2
    factors = {"short_factor": [1.0 + i for i in range(pairs)], "long_factor": [2.0 + i for i in range(pairs)]}
    longer = {"rope_scaling": {"type": "longrope", **factors}, "original_max_position_embeddings": 10}
    rotation = draw(st.sampled_from([{"rope_scaling": None}, longer]))
    window = draw(st.sampled_from([None, 3]))
    return settings | rotation | {"partial_rotary_factor": share, "sliding_window": window}


@st.composite
def gemma(draw: Draw) -> Settings:
    return draw(llama_like()) | {"rope_scaling": None, "attention_bias": draw(YES)}


@st.composite
def gemma2(draw: Draw) -> Settings:
    settings = draw(llama_like())
    settings["hidden_activation"] = settings.pop("hidden_act")
    return settings | {
        "rope_scaling": None,
        "attention_bias": draw(YES),
        "query_pre_attn_scalar": draw(st.sampled_from([4, 9])),
        "sliding_window": 3,
        "attn_logit_softcapping": draw(st.sampled_from([None, 2.0])),
        "final_logit_softcapping": draw(st.sampled_from([None, 3.0])),
    }


@st.composite
def gemma3(draw: Draw) -> Settings:
    linear = {"rope_type": "linear", "factor": 4.0}
    return draw(gemma2()) | {
        "attn_logit_softcapping": None,  # they have the setting, and never use it
        "rope_local_base_freq": 50.0,
        "rope_scaling": draw(st.sampled_from([None, linear])),
        "sliding_window_pattern": draw(st.sampled_from([2, 6])),
    }


@st.composite
def gpt2(draw: Draw) -> Settings:
    count, _, width = draw(heads())
    return {
        **TOKENS,
        "vocab_size": VOCABULARY,
        "n_positions": PLACES,
        "n_embd": width,
        "n_layer": draw(st.integers(1, 3)),
        "n_head": count,
        "n_inner": draw(st.sampled_from([None, 12])),
        "activation_function": draw(PLAIN),
        "layer_norm_epsilon": draw(EPSILON),
        "scale_attn_weights": draw(YES),
        "scale_attn_by_inverse_layer_idx": draw(YES),
        "resid_pdrop": draw(st.sampled_from([0.0, 0.2])),
        "embd_pdrop": draw(st.sampled_from([0.0, 0.3])),
        "tie_word_embeddings": draw(YES),
    }


@st.composite
def opt(draw: Draw) -> Settings:
    count, _, width = draw(heads())
    return {
        **TOKENS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": PLACES,
        "hidden_size": width,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": count,
        "ffn_dim": 12,
        "activation_function": draw(PLAIN),
        "do_layer_norm_before": draw(YES),
        "enable_bias": draw(YES),
        "tie_word_embeddings": draw(YES),
    }


@st.composite
def gpt_neox(draw: Draw) -> Settings:
    count, _, width = draw(heads())
    return {
        **TOKENS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": PLACES,
        "hidden_size": width,
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": count,
        "intermediate_size": 12,
        "hidden_act": draw(PLAIN),
        "layer_norm_eps": draw(EPSILON),
        "rotary_pct": draw(st.sampled_from([0.5, 1.0])),
        "rotary_emb_base": draw(st.sampled_from([100, 10000])),
        "rope_scaling": draw(st.sampled_from([None, {"rope_type": "linear", "factor": 2.0}])),
        "use_parallel_residual": draw(YES),
        "attention_bias": draw(YES),
        "tie_word_embeddings": draw(YES),
    }


@st.composite
def gptj(draw: Draw) -> Settings:
    count, _, width = draw(heads())
    return {
        **TOKENS,
        "vocab_size": VOCABULARY,
        "n_positions": PLACES,
        "n_embd": width,
        "n_layer": draw(st.integers(1, 3)),
        "n_head": count,
        "n_inner": draw(st.sampled_from([None, 12])),
        "rotary_dim": draw(st.sampled_from([2, 4])),
        "activation_function": draw(PLAIN),
        "layer_norm_epsilon": draw(EPSILON),
        "tie_word_embeddings": draw(YES),
    }


@st.composite
def bloom(draw: Draw) -> Settings:
    count = draw(st.sampled_from([1, 2, 3, 4]))
    return {
        **TOKENS,
        "vocab_size": VOCABULARY,
        "hidden_size": 4 * count,
        "n_layer": draw(st.integers(1, 3)),
        "n_head": count,
        "layer_norm_epsilon": draw(EPSILON),
        "tie_word_embeddings": draw(YES),
    }


@st.composite
def phi(draw: Draw) -> Settings:
    settings = draw(llama_like(head_dim=False)) | {"hidden_act": draw(PLAIN), "layer_norm_eps": draw(EPSILON)}
    return settings | {"rope_scaling": None, "partial_rotary_factor": draw(st.sampled_from([0.5, 1.0]))}


@st.composite
def stablelm(draw: Draw) -> Settings:
    settings = draw(phi()) | {"hidden_act": draw(GATED)}
    return settings | {"use_qkv_bias": draw(YES), "use_parallel_residual": draw(YES)}


@st.composite
def starcoder2(draw: Draw) -> Settings:
    settings = draw(llama_like(head_dim=False)) | {"hidden_act": draw(PLAIN), "norm_epsilon": draw(EPSILON)}
    return settings | {"use_bias": draw(YES), "sliding_window": draw(st.sampled_from([None, 3]))}


@st.composite
def olmo2(draw: Draw) -> Settings:
    return draw(llama_like(head_dim=False)) | {"attention_bias": draw(YES)}


CAUSAL: dict[str, tuple[str, st.SearchStrategy[Settings]]] = {  # model_type → their class, and its settings
    "gpt2": ("GPT2LMHeadModel", gpt2()),
    "llama": ("LlamaForCausalLM", llama()),
    "mistral": ("MistralForCausalLM", mistral()),
    "qwen2": ("Qwen2ForCausalLM", qwen2()),
    "qwen3": ("Qwen3ForCausalLM", qwen3()),
    "phi3": ("Phi3ForCausalLM", phi3()),
    "gemma": ("GemmaForCausalLM", gemma()),
    "gemma2": ("Gemma2ForCausalLM", gemma2()),
    "gemma3_text": ("Gemma3ForCausalLM", gemma3()),
    "phi": ("PhiForCausalLM", phi()),
    "stablelm": ("StableLmForCausalLM", stablelm()),
    "starcoder2": ("Starcoder2ForCausalLM", starcoder2()),
    "olmo2": ("Olmo2ForCausalLM", olmo2()),
    "opt": ("OPTForCausalLM", opt()),
    "gpt_neox": ("GPTNeoXForCausalLM", gpt_neox()),
    "gptj": ("GPTJForCausalLM", gptj()),
    "bloom": ("BloomForCausalLM", bloom()),
}
