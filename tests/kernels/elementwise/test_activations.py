"""Activations and their gradients against SciPy, GELU against its plain loop, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from minigrad import kernels
from minigrad.kernels.elementwise import plain


def tanh_argument(x):
    return 2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)


def gelu_tanh_slope(x):
    s = special.expit(tanh_argument(x))
    return s + x * s * special.expit(-tanh_argument(x)) * 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)


ACTIVATIONS = {
    "gelu": (kernels.gelu, plain.gelu),
    "gelu tanh": (lambda x: kernels.gelu(x, "tanh"), lambda x: x * special.expit(tanh_argument(x))),
    "silu": (kernels.silu, lambda x: x * special.expit(x)),
    "sigmoid": (kernels.sigmoid, special.expit),
    "relu": (kernels.relu, lambda x: np.maximum(x, 0)),
}
SLOPES = {
    "gelu": (kernels.gelu_backward, lambda x: plain.gelu_backward(np.ones_like(x), x)),
    "gelu tanh": (lambda g, x: kernels.gelu_backward(g, x, "tanh"), gelu_tanh_slope),
    "silu": (
        kernels.silu_backward,
        lambda x: special.expit(x) * (1 + x * special.expit(-x)),
    ),
    "sigmoid from its result": (kernels.sigmoid_backward, lambda y: y * (1 - y)),
    "relu from its result": (kernels.relu_backward, lambda y: (y != 0) * 1.0),
}


def numbers(rng, dtype):
    return np.concatenate([np.linspace(-30, 30, 6001), rng.standard_normal(20_000), np.zeros(1)]).astype(dtype)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_are_right_to_a_few_units_of_what_goes_in(name, dtype, rng):
    function, exact = ACTIVATIONS[name]
    x = numbers(rng, dtype)
    y = function(x)
    assert y.dtype == dtype
    assert (
        abs(y - exact(x.astype(np.float64))) <= 2 * np.finfo(dtype).eps * np.maximum(abs(x), name == "sigmoid")
    ).all()


@pytest.mark.parametrize("name", SLOPES)
def test_gradients_are_right_to_a_few_units(name, dtype, rng):
    function, exact = SLOPES[name]
    x = numbers(rng, dtype)
    slopes = exact(x.astype(np.float64))
    g = rng.standard_normal(x.shape).astype(dtype)
    dx = function(g, x)
    assert dx.dtype == dtype
    assert (abs(dx - g * slopes) <= 4 * np.finfo(dtype).eps * abs(g) * np.maximum(abs(slopes), 1)).all()


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (63,), (2, 65), (3, 5, 7), (700, 999)])
def test_any_shape_and_strides(shape, dtype, rng):
    x, g = rng.standard_normal((2, *shape)).astype(dtype)[..., ::-1] if shape else rng.standard_normal(2).astype(dtype)
    x, g = np.asarray(x), np.asarray(g)
    for name, (function, _) in ACTIVATIONS.items():
        y = function(x.T)
        assert y.shape == x.T.shape
        np.testing.assert_allclose(y, function(x.copy()).T, rtol=8 * np.finfo(dtype).eps, err_msg=name)
    for name, (function, _) in SLOPES.items():
        expected = function(g.copy(), x.copy()).T
        tolerance = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(function(g.T, x.T), expected, rtol=tolerance, atol=tolerance, err_msg=name)


def test_limits_and_nan(dtype):
    x = np.array([np.inf, 1e30, -1e30, -200, 0, np.nan], dtype)
    for name, (function, _) in ACTIVATIONS.items():
        top, high, low, lower, zero, nothing = function(x).tolist()
        assert (top, high) == ((1, 1) if name == "sigmoid" else (np.inf, x[1])), name
        assert abs(low) < 1e-30 and abs(lower) < 1e-30
        assert zero == (0.5 if name == "sigmoid" else 0) and np.isnan(nothing)
    assert kernels.sigmoid(np.array([-np.inf], dtype)) == 0


def test_invalid_arguments_are_named():
    with pytest.raises(TypeError, match="x must be a float32 or float64 array; got int64"):
        kernels.gelu(np.arange(3))
    with pytest.raises(ValueError, match=r"g must have shape \(3,\); got \(2,\)"):
        kernels.silu_backward(np.ones(2), np.ones(3))
