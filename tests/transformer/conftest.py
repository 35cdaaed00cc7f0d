"""A model and a tokenizer small enough for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from transformer import Tokenizer, Transformer, TransformerConfig
from transformer.model.rotary_scaling import RotaryScaling

PAIRS = [
    ("one two three", "eins zwei drei"),
    ("three two", "drei zwei"),
    ("two", "zwei"),
    ("one three two one", "eins drei zwei eins"),
    ("12 and 7", "12 und 7"),
]


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """State that the packages keep for a user is that of the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([text for pair in PAIRS for text in pair], 300)


def small(**changes: object) -> TransformerConfig:
    sizes = {"vocab_size": 300, "d_model": 16, "num_heads": 2, "d_ff": 32, "encoder_layers": 2, "decoder_layers": 2}
    return TransformerConfig(**{**sizes, "max_length": 64, **changes})


def model_in_float64(kind: Any = Transformer, **changes: object) -> Any:
    """A small model in evaluation mode whose every parameter has been given a random value."""
    model = kind(small(**changes))
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data = rng.standard_normal(parameter.shape) * 0.3
    return model.eval()


# Models that differ in what they are made of: their names, and changes of a small configuration.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "paper": {},
    "pre-norm": {"norm_first": True},
    "marian": {"positions": "sinusoidal_halves", "activation": "silu", "output_bias": True},
    "gpt": {"positions": "learned", "norm_first": True, "activation": "gelu_tanh", "scale_embedding": False},
    "bert": {"positions": "learned", "activation": "gelu", "embedding_norm": True, "token_types": 2, "tie": "none"},
    "llama": {
        "positions": "rotary",
        "norm": "rms",
        "norm_first": True,
        "activation": "swiglu",
        "bias": False,
        "num_heads": 4,
        "num_kv_heads": 2,
    },
    "t5": {
        "positions": "relative",
        "relative_buckets": 8,
        "relative_max_distance": 12,
        "norm": "rms",
        "norm_first": True,
        "activation": "geglu",
        "bias": False,
        "scale_scores": False,
        "scale_output": True,
        "tie": "output",
    },
    "gemma": {
        "positions": "rotary",
        "norm": "rms_offset",
        "norm_first": True,
        "norm_outputs": True,
        "norm_queries": "by_head",
        "activation": "geglu",
        "bias": False,
        "scale_width": 7.0,
        "softcap_scores": 2.0,
        "softcap_output": 3.0,
        "window": 3,
        "global_layers": (1,),
        "rotary_local_base": 100.0,
        "rotary_scaling": RotaryScaling(kind="linear", factor=2.0),
    },
    "gpt-j": {"positions": "rotary", "rotary_width": 2, "norm_first": True, "parallel": "one_norm", "qkv_bias": False},
    "neox": {"positions": "rotary", "norm_first": True, "parallel": "two_norms", "scale_by_layer": True},
    "modernbert": {
        "positions": "rotary",
        "norm_first": True,
        "norm_inputs": "all_but_first",
        "norm_bias": False,
        "embedding_norm": True,
        "activation": "geglu_exact",
        "window": 2,
        "global_layers": (0,),
    },
    "olmo": {
        "positions": "rotary",
        "norm": "rms",
        "norm_first": True,
        "norm_inputs": "none",
        "norm_outputs": True,
        "norm_queries": "all_heads",
        "rotary_scaling": RotaryScaling(kind="yarn", factor=4.0, original_length=8),
    },
    "mpnet": {"positions": "learned_relative", "relative_buckets": 6, "relative_max_distance": 9},
    "umt5": {"positions": "relative", "relative_buckets": 8, "relative_by_layer": True, "decoder_heads": 4},
    "m2m": {"positions": "sinusoidal_fairseq", "norm_first": True, "decoder_ff": 20},
    "alibi": {"positions": "alibi", "num_heads": 3, "d_k": 4},
    "no positions": {"positions": "none"},
    "window": {"window": 2},
    "rotary window": {"positions": "rotary", "window": 3, "norm_first": True},
    "relative window": {"positions": "relative", "relative_buckets": 4, "window": 3},
    "alibi window": {"positions": "alibi", "window": 3, "num_kv_heads": 1},
    "multi-query": {"positions": "learned", "num_heads": 4, "num_kv_heads": 1, "d_k": 6},
}


@pytest.fixture(params=[False, True], ids=["post-norm", "pre-norm"])
def model(request: pytest.FixtureRequest) -> Transformer:
    mg.manual_seed(0)
    return model_in_float64(norm_first=request.param)


@pytest.fixture
def source() -> np.ndarray:
    return np.array([[5, 6, 7, 8, 2], [9, 10, 2, 0, 0]])


@pytest.fixture
def target() -> np.ndarray:
    return np.array([[1, 11, 12, 13], [1, 14, 0, 0]])
