"""Quantised weights of layers: their products, their state, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.quantized import FORMATS

each_format = pytest.mark.parametrize("format", FORMATS)
# The rounding of a weight, relative to the largest of its row; int8 rounds activations as well.
STEPS = {"int8": 2 / 254, "int8-weights": 1 / 254, "bfloat16": 2.0**-8}


def layers(seed: int) -> nn.Module:
    mg.manual_seed(seed)
    return nn.Sequential(nn.Linear(7, 33), nn.ReLU(), nn.Linear(33, 3, bias=False))


@each_format
def test_a_quantised_layer_is_near_the_exact_one(format: str, rng: np.random.Generator) -> None:
    layer, x = nn.Linear(70, 5), rng.standard_normal((4, 70)).astype(np.float32)
    exact, weight = layer(mg.tensor(x)).detach().numpy(), layer.weight.detach().numpy().copy()
    nn.quantize(layer, format, (nn.Linear,))
    found = layer(mg.tensor(x)).numpy()
    bound = STEPS[format] * 70 * abs(x).max(axis=1)[:, None] * abs(weight).max(axis=1)
    assert (abs(found - exact) <= bound).all()
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(layer.weight.dequantized(), weight, atol=STEPS[format] * abs(weight).max())


@each_format
def test_loaded_values_are_multiplied_with(format: str) -> None:
    one, other, x = layers(0), layers(1), mg.ones((2, 7))
    for module in (one, other):
        nn.quantize(module, format, (nn.Linear,))
    before = other(x).numpy()
    other.load_state_dict(one.state_dict())
    assert not np.array_equal(other(x).numpy(), before)
    np.testing.assert_array_equal(other(x).numpy(), one(x).numpy())


def test_only_the_named_layers_are_quantised_and_all_is_frozen() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    nn.quantize(model, "int8", (nn.Linear,))
    assert [isinstance(layer.weight, nn.QuantizedWeight) for layer in model] == [False, False, True]
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    layer = nn.Linear(2, 2)
    layer.load_state_dict({**layer.state_dict(), "weight": mg.tensor([[bad, 0.0], [0.0, 1.0]])})
    with pytest.raises(ValueError, match="weight must be a finite matrix"):
        nn.quantize(layer, "int8", (nn.Linear,))
    assert isinstance(layer.weight, nn.Parameter)  # as it was


def test_float64_is_refused() -> None:
    with pytest.raises(TypeError, match="weight must be a float32 array; got float64"):
        nn.QuantizedWeight(mg.tensor([[1.0]], dtype=mg.float64), "int8")
