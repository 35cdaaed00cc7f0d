"""Quantised models: close to the weights they came from, cached and saved as others are, and not to be trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.io import BFLOAT16
from minigrad.kernels import to_bfloat16
from minigrad.nn.quantized import FORMATS, QuantizedWeight
from tests.transformer.conftest import small
from transformer import CausalLM, Trainer, TrainingConfig, Transformer, TransformerConfig, from_pretrained
from transformer.data.batches import WindowBatches
from transformer.model.layers import LINEAR

IDS = np.array([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> Any:
    return request.param


def config_fields(config: TransformerConfig) -> dict[str, Any]:
    return json.loads(config.to_json())


def serialized(arrays: dict[str, np.ndarray]) -> bytes:
    """A safetensors file of bfloat16, which NumPy's writer does not know."""
    header, start = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": (start, start + array.nbytes)}
        start += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in arrays.values())


def models(format: str) -> list[tuple[Any, tuple[np.ndarray, ...]]]:
    mg.random.manual_seed(0)
    given: list[tuple[Any, tuple[np.ndarray, ...]]] = [
        (CausalLM(small(activation="swiglu", tie="output", output_bias=True)), (IDS,)),
        (Transformer(small()), (IDS, IDS[:, :3])),
    ]
    for model, _ in given:
        model.quantize(format)
    return given


def logits(model: nn.Module, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.asarray(model(*inputs).detach().numpy())


def test_logits_are_those_of_the_weights_that_the_format_holds(format: str) -> None:
    for model, inputs in models(format):
        found = logits(model, inputs)
        layers = [layer for layer in model.modules() if isinstance(layer, LINEAR)]
        for layer in layers:
            assert isinstance(layer.weight, QuantizedWeight)
            layer.weight = nn.Parameter(layer.weight.dequantized())
        exact = logits(model, inputs)
        # Activations of int8 have steps of 1/127 of the largest of their token.
        assert np.linalg.norm(found - exact) <= (0.05 if format == "int8" else 1e-5) * np.linalg.norm(exact)


def test_cached_decoding_is_that_of_the_whole_text(format: str) -> None:
    for model, (ids, *_) in models(format):
        for choices in ({}, {"num_beams": 3}):
            cached = model.generate(ids, 6, **choices)
            whole = model.generate(ids, 6, use_cache=False, **choices)
            assert [hypothesis.ids for hypothesis in cached] == [hypothesis.ids for hypothesis in whole]


def test_a_saved_model_is_read_back_bit_for_bit(format: str, tmp_path: Path) -> None:
    for model, inputs in models(format):
        model.save_pretrained(tmp_path)
        again = from_pretrained(tmp_path)
        assert again.quantization == format
        np.testing.assert_array_equal(logits(again, inputs), logits(model, inputs))
        assert json.loads((tmp_path / "config.json").read_text())["quantization"] == format


def test_an_unknown_format_in_a_directory_is_named(tmp_path: Path) -> None:
    CausalLM(small()).quantize("int8").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization": "int4"}))
    with pytest.raises(ValueError, match="quantization: expected one of int8, int8-weights, bfloat16, got 'int4'"):
        from_pretrained(tmp_path)


def test_quantised_models_are_not_trained() -> None:
    model = CausalLM(small()).quantize("int8")
    with pytest.raises(ValueError, match="model: expected weights to train, got none"):
        Trainer(model, WindowBatches(np.arange(50) % 9, block=8, batch=2), TrainingConfig(steps=1))
    model.requires_grad_()
    with pytest.raises(RuntimeError, match="quantised weights have no gradients"):
        model(IDS)
    with mg.no_grad():
        assert model(IDS).shape == (2, 5, model.config.vocab_size)


def test_bad_formats_and_second_quantisations_are_refused() -> None:
    model = CausalLM(small())
    with pytest.raises(ValueError, match="format: expected one of int8, int8-weights, bfloat16, got 'int4'"):
        model.quantize("int4")
    model.quantize("bfloat16")
    with pytest.raises(ValueError, match="CausalLM: its weights are quantised already"):
        model.quantize("int8")


@pytest.mark.parametrize("tie", ["output", "none"])
def test_weights_are_quantised_while_they_are_loaded(tie: str, format: str, tmp_path: Path) -> None:
    model = CausalLM(small(tie=tie, positions="rotary", bias=False, norm="rms", norm_first=True)).eval()
    model.save_pretrained(tmp_path / "float32")
    loaded = from_pretrained(tmp_path / "float32", quantization=format)
    assert loaded.quantization == format
    np.testing.assert_array_equal(logits(loaded, (IDS,)), logits(model.quantize(format), (IDS,)))
    loaded.save_pretrained(tmp_path / "again")
    again = from_pretrained(tmp_path / "again", quantization=format)
    np.testing.assert_array_equal(logits(again, (IDS,)), logits(loaded, (IDS,)))
    other = next(one for one in FORMATS if one != format)
    with pytest.raises(ValueError, match=f"quantization: the weights are quantised already, as {format}"):
        from_pretrained(tmp_path / "again", quantization=other)
    with pytest.raises(ValueError, match=r"quantization: expected one of int8, .*, got 'int4'"):
        from_pretrained(tmp_path / "float32", quantization="int4")


@pytest.mark.parametrize("tie", ["output", "none"])
def test_weights_in_bfloat16_stay_where_their_file_has_them(tie: str, tmp_path: Path) -> None:
    config = small(tie=tie, positions="rotary", bias=False, norm="rms", norm_first=True, scale_embedding=False)
    model = CausalLM(config).eval()
    bits = {name: to_bfloat16(value.data) for name, value in model.state_dict().items()}
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    stored = {name: array.view(BFLOAT16) for name, array in bits.items()}
    path.write_bytes(serialized(stored))
    (tmp_path / ".commit.json").unlink()
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "transformer", "architectures": ["CausalLM"]} | config_fields(config))
    )
    loaded = from_pretrained(tmp_path, quantization="bfloat16")
    for name, value in loaded.named_buffers():
        assert not value.data.flags.owndata and value.data.dtype == np.uint16, name
    assert any("tokens" in name for name, _ in loaded.named_buffers())
    exact = from_pretrained(tmp_path)
    np.testing.assert_allclose(logits(loaded, (IDS,)), logits(exact, (IDS,)), atol=1e-5)
    loaded.save_pretrained(tmp_path / "again")
    np.testing.assert_array_equal(logits(from_pretrained(tmp_path / "again"), (IDS,)), logits(loaded, (IDS,)))
