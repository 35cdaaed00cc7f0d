"""Small configurations of encoder-decoder families, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.transformer.pretrained.huggingface.strategies import PLACES, PLAIN, TOKENS, VOCABULARY, YES

Settings = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
HEADS = st.sampled_from([1, 2, 4])


@st.composite
def bart(draw: Draw, tied: bool = True, **others: Any) -> Settings:
    """Settings that BART and its relatives share."""
    return {
        **TOKENS,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": None,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": PLACES,
        "d_model": draw(st.sampled_from([8, 16])),
        "encoder_layers": draw(st.integers(1, 2)),
        "decoder_layers": draw(st.integers(1, 2)),
        "encoder_attention_heads": draw(HEADS),
        "decoder_attention_heads": draw(HEADS),
        "encoder_ffn_dim": draw(st.sampled_from([8, 12])),
        "decoder_ffn_dim": draw(st.sampled_from([8, 12])),
        "activation_function": draw(PLAIN),
        "scale_embedding": draw(YES),
        **({"tie_word_embeddings": draw(YES)} if tied else {}),
        **others,
    }


@st.composite
def marian(draw: Draw) -> Settings:
    ties = draw(st.sampled_from([{}, {"share_encoder_decoder_embeddings": False}, {"tie_word_embeddings": False}]))
    return draw(bart(tied=False)) | {"decoder_vocab_size": VOCABULARY, **ties}


@st.composite
def t5(draw: Draw) -> Settings:
    """Settings that T5 and its relatives share."""
    layers = draw(st.integers(1, 2))
    buckets = draw(st.sampled_from([4, 6, 8, 9]))
    return {
        "pad_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 0,
        "vocab_size": VOCABULARY,
        "d_model": draw(st.sampled_from([8, 16])),
        "d_kv": draw(st.sampled_from([4, 6])),
        "d_ff": 12,
        "num_layers": layers,
        "num_decoder_layers": draw(st.integers(1, layers)),  # their cache has as many layers as the encoder
        "num_heads": draw(HEADS),
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": buckets // 2 + draw(st.integers(1, 9)),
        "feed_forward_proj": draw(
            st.sampled_from(["relu", "gelu", "gelu_new", "gated-gelu", "gated-silu", "gated-relu"])
        ),
        "layer_norm_epsilon": draw(st.sampled_from([1e-6, 1e-3])),
    }


@st.composite
def first_t5(draw: Draw) -> Settings:
    return draw(t5()) | {"tie_word_embeddings": draw(YES)}


ENCODER_DECODER: dict[str, tuple[str, st.SearchStrategy[Settings]]] = {  # model_type → their class, and its settings
    "bart": ("BartForConditionalGeneration", bart()),
    "mbart": ("MBartForConditionalGeneration", bart()),
    "m2m_100": ("M2M100ForConditionalGeneration", bart()),
    "pegasus": ("PegasusForConditionalGeneration", bart()),
    "marian": ("MarianMTModel", marian()),
    "t5": ("T5ForConditionalGeneration", first_t5()),
    "mt5": ("MT5ForConditionalGeneration", t5()),
    "umt5": ("UMT5ForConditionalGeneration", first_t5()),
}
ENCODER_ALONE = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
