"""Self-attention and cross-attention: what the masks hide, and that the model is whole again afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

import minigrad as mg
from transformer.examples import self_and_cross
from transformer.model.config import TransformerConfig
from transformer.pretrained import Transformer

SOURCE, TARGET = np.array([[5, 6, 7, 8, 2]]), np.array([[1, 7, 6, 5]])


def demo() -> Any:
    config = TransformerConfig(vocab_size=9, d_model=16, num_heads=2, d_ff=32, encoder_layers=2, decoder_layers=2)
    return SimpleNamespace(model=Transformer(config).eval())


def logits(demo: Any, source: Any = SOURCE, target: Any = TARGET) -> Any:
    with mg.no_grad():
        return demo.model(source, target).numpy()


def test_a_decoder_that_sees_no_source_does_not_depend_on_it() -> None:
    made = demo()
    before = logits(made)
    with self_and_cross.masked(made, "decoder", "cross_attention", self_and_cross.nothing):
        np.testing.assert_array_equal(logits(made), logits(made, source=SOURCE[:, ::-1]))
        assert np.abs(logits(made) - before).max() > 1e-3
    np.testing.assert_array_equal(logits(made), before)


def test_a_token_that_sees_only_itself_does_not_depend_on_earlier_ones() -> None:
    made = demo()
    other = np.array([[3, 4, 3, 5]])
    assert np.abs(logits(made)[:, -1] - logits(made, target=other)[:, -1]).max() > 1e-3
    with self_and_cross.masked(made, "decoder", "self_attention", self_and_cross.only_itself):
        np.testing.assert_allclose(logits(made)[:, -1], logits(made, target=other)[:, -1], atol=1e-6)
