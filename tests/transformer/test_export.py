"""Models as ONNX files, with inputs that have names, for any batch and length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.transformer.conftest import small
from transformer import CausalLM, Encoder, MaskedLM, Transformer, export_onnx

pytest.importorskip("onnx", reason="onnx comes with the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra onnx")
pytestmark = pytest.mark.peers
pytestmark = pytest.mark.peers


def _inputs(kind: Any, batch: int, length: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    inputs = {"input_ids": rng.integers(3, 300, (batch, length))}
    if kind is Transformer:
        inputs["decoder_input_ids"] = rng.integers(3, 300, (batch, length + 3))
    inputs["attention_mask"] = np.ones((batch, length), np.int64)
    inputs["attention_mask"][1:, length // 2 + 1 :] = 0
    return inputs


@pytest.mark.parametrize("kind", [CausalLM, Encoder, MaskedLM, Transformer])
def test_a_file_gives_what_the_model_gives_for_any_batch_and_length(
    kind: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = kind(small(encoder_layers=1, decoder_layers=1, dropout=0.5))  # which must not drop anything
    assert model.training
    export_onnx(model, tmp_path / "model.onnx")
    assert model.training  # as it was
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    output = "last_hidden_state" if kind is Encoder else "logits"
    for batch, length in ((1, 1), (3, 9), (2, 60)):
        inputs = _inputs(kind, batch, length, rng)
        assert [given.name for given in session.get_inputs()] == list(inputs)
        with model.evaluating(), mg.no_grad():
            expected = model(*inputs.values()).numpy()
        np.testing.assert_allclose(session.run([output], inputs)[0], expected, rtol=1e-4, atol=1e-5)
