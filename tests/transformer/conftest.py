"""A model and a tokenizer small enough for tests."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from transformer import Tokenizer, Transformer, TransformerConfig

PAIRS = [
    ("one two three", "eins zwei drei"),
    ("three two", "drei zwei"),
    ("two", "zwei"),
    ("one three two one", "eins drei zwei eins"),
    ("12 and 7", "12 und 7"),
]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([text for pair in PAIRS for text in pair], 300)


def small(**changes: object) -> TransformerConfig:
    sizes = {"vocab_size": 300, "d_model": 16, "num_heads": 2, "d_ff": 32, "encoder_layers": 2, "decoder_layers": 2}
    return TransformerConfig(**{**sizes, "max_length": 64, **changes})


def model_in_float64(**changes: object) -> Transformer:
    """A small model in evaluation mode whose every parameter has been given a random value."""
    model = Transformer(small(**changes))
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data = rng.standard_normal(parameter.shape) * 0.3
    return model.eval()


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
