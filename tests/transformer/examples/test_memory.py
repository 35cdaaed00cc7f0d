"""Encoder memory: the decoder does not see the order of the vectors, and does see the tokens'."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from transformer import Transformer, TransformerConfig
from transformer.examples import memory

SOURCE = np.array([[5, 6, 7, 8, 2], [9, 4, 2, 0, 0]])
TARGET = np.array([[1, 8, 9], [1, 5, 6]])


def logits(change: memory.Change) -> np.ndarray:
    mg.manual_seed(0)
    model = Transformer(TransformerConfig(vocab_size=20, d_model=32, dropout=0.0))
    model.encoder = memory.ChangedEncoder(model.encoder, change)  # type: ignore[assignment]
    with mg.no_grad():
        return model(SOURCE, TARGET).numpy()


def test_the_order_of_the_vectors_means_nothing_and_that_of_the_tokens_does() -> None:
    whole = logits(memory.whole)
    np.testing.assert_allclose(logits(memory.vectors_shuffled), whole, atol=1e-5)
    assert np.abs(logits(memory.tokens_shuffled) - whole).max() > 1e-2


def test_all_layers_are_the_memory_as_it_is() -> None:
    whole = logits(memory.whole)
    np.testing.assert_array_equal(logits(memory.first_layers(3)), whole)
    assert np.abs(logits(memory.first_layers(2)) - whole).max() > 1e-2
