"""Every kind of model, exported to ONNX and run by onnxruntime at several batch sizes and lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from transformer import CausalLM, Decoder, Encoder, MaskedLM, Transformer, TransformerConfig, export_onnx

pytest.importorskip("onnx", reason="onnx comes with the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra onnx")
pytestmark = pytest.mark.peers

SMALL: dict[str, Any] = {"vocab_size": 13, "d_model": 16, "num_heads": 4, "d_ff": 24, "max_length": 40}
SMALL |= {"encoder_layers": 2, "decoder_layers": 2}
LENGTHS = [(1, 1), (2, 6), (3, 17), (1, 40)]
IDS = {0: "batch", 1: "length"}


def batch(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Token ids, and which of them are real: some rows are padded at their end, some at their beginning."""
    rng = np.random.default_rng(seed)
    ids, mask = rng.integers(0, 13, shape), np.ones(shape, np.int64)
    mask[1:, shape[1] // 2 + 1 :] = 0
    mask[2:] = mask[2:, ::-1]
    return ids, mask


def compare(model: Any, dynamic: Any, batches: list[tuple[np.ndarray, ...]], example: tuple[np.ndarray, ...]) -> None:
    exported = mg.onnx.export(model, *example, dynamic=dynamic, max_sizes=_largest(dynamic))
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    with model.evaluating(), mg.no_grad():
        for inputs in batches:
            (found,) = session.run(None, dict(zip(names, inputs, strict=True)))
            np.testing.assert_allclose(found, model(*inputs).numpy(), rtol=1e-5, atol=1e-5)


def _largest(dynamic: dict[str, dict[int, str]]) -> dict[str, int]:
    return {axes[1]: 40 for axes in dynamic.values()}  # SMALL's max_length


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"norm_first": True, "norm": "rms", "activation": "swiglu", "positions": "rotary", "num_kv_heads": 2},
        {"norm_first": True, "activation": "gelu_tanh", "positions": "learned", "tie": "none"},
        {"positions": "alibi", "bias": False},
        {"positions": "relative", "activation": "geglu"},
    ],
    ids=["as in the paper", "as Llama", "as GPT-2", "alibi", "relative"],
)
@pytest.mark.parametrize("kind", [CausalLM, MaskedLM, Encoder])
def test_a_model_of_one_stack_is_the_same_in_onnxruntime(kind: Any, choices: dict[str, Any]) -> None:
    model = kind(TransformerConfig(**SMALL | choices))
    batches = [batch(shape) for shape in LENGTHS]
    compare(model, {"input_ids": IDS, "attention_mask": IDS}, batches, batches[2])


@pytest.mark.parametrize("positions", ["sinusoidal", "relative", "rotary"])
def test_the_encoder_decoder_is_the_same_in_onnxruntime(positions: Any) -> None:
    model = Transformer(TransformerConfig(**SMALL, positions=positions))
    batches = []
    for shape, other in zip(LENGTHS, [3, 1, 40, 2], strict=True):
        ids, mask = batch(shape)
        batches.append((ids, batch((shape[0], other), 1)[0], mask))
    dynamic = {"input_ids": IDS, "decoder_input_ids": {0: "batch", 1: "target"}, "attention_mask": IDS}
    compare(model, dynamic, batches, batches[2])


def test_padding_is_found_by_its_id_where_the_example_has_some() -> None:
    model = CausalLM(TransformerConfig(**SMALL, pad_id=0))
    batches = [(np.where(mask, ids, 0),) for ids, mask in map(batch, LENGTHS)]
    compare(model, {"input_ids": IDS}, batches, batches[2])


@pytest.mark.parametrize("kind", [CausalLM, MaskedLM])
def test_a_sliding_window_is_the_same_in_onnxruntime(kind: Any) -> None:
    model = kind(TransformerConfig(**SMALL, window=5))
    batches = [batch(shape) for shape in LENGTHS]
    compare(model, {"input_ids": IDS, "attention_mask": IDS}, batches, batches[2])


def test_an_encoder_with_token_types_asks_for_them(tmp_path: Path) -> None:
    model = MaskedLM(TransformerConfig(**SMALL, token_types=2, positions="learned"))
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    ids, mask = batch((3, 17))
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}
    (found,) = session.run(None, inputs)
    with model.evaluating(), mg.no_grad():
        np.testing.assert_allclose(found, model(**inputs).numpy(), rtol=1e-5, atol=1e-5)


def test_a_decoder_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="model: expected a whole model or an Encoder, got a Decoder"):
        export_onnx(Decoder(TransformerConfig(**SMALL)), tmp_path / "model.onnx")
