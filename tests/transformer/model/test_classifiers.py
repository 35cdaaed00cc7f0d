"""Classifiers: padding, pooling, gradients, their own files, and ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck
from tests.transformer.conftest import small
from transformer import SequenceClassifier, TokenClassifier, export_onnx, from_pretrained
from transformer.model.config import Pooling
from transformer.model.pooling import pool

POOLINGS = ["first", "last", "mean", "max", "mean_sqrt"]
LABELS = ("bad", "fair", "good")
BY_HAND: dict[str, Any] = {
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
    "mean": lambda x: x.mean(0),
    "max": lambda x: x.max(0),
    "mean_sqrt": lambda x: x.sum(0) / np.sqrt(len(x)),
}


@given(
    pooling=st.sampled_from(POOLINGS),
    real=st.lists(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), min_size=1, max_size=3),
)
def test_pooling_reads_real_tokens_alone(pooling: Pooling, real: list[list[bool]]) -> None:
    x = np.random.default_rng(0).normal(size=(len(real), 4, 3))
    expected = [BY_HAND[pooling](row[mask]) for row, mask in zip(x, np.array(real), strict=True)]
    np.testing.assert_allclose(pool(mg.asarray(x), mg.asarray(real), pooling).numpy(), expected)
    expected = [BY_HAND[pooling](row) for row in x]
    np.testing.assert_allclose(pool(mg.asarray(x), None, pooling).numpy(), expected)
    assert gradcheck(lambda x: pool(x, mg.asarray(real), pooling), (x,))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("stacks", [{"decoder_layers": 0}, {"encoder_layers": 0}], ids=["encoder", "decoder"])
@pytest.mark.parametrize("head", ["output", "transform", "transform_norm"])
def test_padding_on_either_side_changes_nothing(pooling: str, stacks: Any, head: str, tmp_path: Path) -> None:
    model = SequenceClassifier(small(labels=LABELS, pooling=pooling, head=head, **stacks)).eval()
    text, longer = [5, 6, 7], [5, 6, 7, 8, 9]
    with mg.no_grad():
        alone = model(np.array([text])).numpy()
        for row in ([*text, 0, 0], [0, 0, *text]):
            np.testing.assert_allclose(model(np.array([row, longer])).numpy()[:1], alone, atol=1e-5)
        model.save_pretrained(tmp_path)
        again = from_pretrained(tmp_path)
        assert isinstance(again, SequenceClassifier) and again.config == model.config
        np.testing.assert_array_equal(again(np.array([text])).numpy(), alone)


@pytest.mark.parametrize("kind", [SequenceClassifier, TokenClassifier])
def test_every_parameter_learns(kind: Any) -> None:
    model = kind(small(labels=LABELS, token_types=2, positions="learned", head="transform_norm"))
    ids = np.array([[5, 6, 7], [8, 9, 0]])
    scores = model(ids, token_type_ids=ids % 2)
    assert scores.shape == ((2, 3) if kind is SequenceClassifier else (2, 3, 3))
    mg.sum(scores**2).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("kind", [SequenceClassifier, TokenClassifier])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_exported_scores_are_the_models(kind: Any, pooling: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the peer")
    model = kind(small(labels=LABELS, pooling=pooling, token_types=2)).eval()
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    ids, mask = np.array([[5, 6, 7, 8], [5, 6, 0, 0]]), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    with mg.no_grad():
        expected = model(ids, mask, ids % 2).numpy()
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
    np.testing.assert_allclose(session.run(None, inputs)[0], expected, atol=1e-5)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="labels: expected at least one, got none"):
        SequenceClassifier(small())
    with pytest.raises(ValueError, match="labels: expected each once, got a, a"):
        small(labels=("a", "a"))
    decoder = TokenClassifier(small(labels=LABELS, encoder_layers=0))
    with pytest.raises(ValueError, match="token_type_ids: this model has no token types, expected None"):
        decoder(np.array([[5]]), token_type_ids=np.array([[0]]))
    assert small(labels=("size",)).problem == "regression"
    assert small(labels=LABELS).problem == "single_label_classification"
