"""The activations with parameters, and their slopes, against formulas in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from minigrad import kernels


def line(x, low, high, left, middle, right):
    """Three lines, each a slope and an offset."""
    of = lambda slope, offset: np.where(slope == 0, offset, slope * (x + offset))  # noqa: E731
    return np.where(x <= low, of(*left), np.where(x >= high, of(*right), of(*middle)))


def mish_slope(x):
    square = (1 + np.exp(x)) ** 2
    t, s = np.tanh(np.logaddexp(0, x)), special.expit(x)
    return t + x * s * (4 * square / (square + 1) ** 2)  # 1 - t² without cancellation


FUNCTIONS = {  # the function, its values and its slopes
    "leaky": (
        kernels.PiecewiseLinear(0, np.inf, 0.2, 0, 1, 0, 1, 0),
        lambda x: np.where(x > 0, x, 0.2 * x),
        lambda x: np.where(x > 0, 1, 0.2),
    ),
    "three lines": (
        kernels.PiecewiseLinear(-1, 2, 0.5, 3, 0.25, -2, 0, 7),
        lambda x: line(x, -1, 2, (0.5, 3), (0.25, -2), (0, 7)),
        lambda x: np.where(x <= -1, 0.5, np.where(x >= 2, 0, 0.25)),
    ),
    "shrink": (
        kernels.Shrink(0.75, 0.25),
        lambda x: np.where(abs(x) <= 0.75, 0, x - 0.25 * np.sign(x)),
        lambda x: abs(x) > 0.75,
    ),
    "exponential": (
        kernels.ExponentialLinear(1.5, 0.5, 2),
        lambda x: 2 * np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0) / 2)),
        lambda x: 2 * np.where(x > 0, 1, 0.75 * np.exp(np.minimum(x, 0) / 2)),
    ),
    "softplus": (
        kernels.Softplus(2, 50),
        lambda x: np.where(2 * x > 50, x, np.logaddexp(0, 2 * x) / 2),
        lambda x: np.where(2 * x > 50, 1, special.expit(2 * x)),
    ),
    "log-sigmoid": (kernels.Softplus(-1, np.inf), special.log_expit, lambda x: special.expit(-x)),
    "hard swish": (
        kernels.HardSwish(3),
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6)),
    ),
    "mish": (kernels.Mish(1), lambda x: x * np.tanh(np.logaddexp(0, x)), mish_slope),
}


def numbers(rng, dtype):
    return np.concatenate([np.linspace(-30, 30, 6001), rng.standard_normal(20_000), np.zeros(1)]).astype(dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_right_to_a_few_units(name, dtype, rng):
    function, value, slope = FUNCTIONS[name]
    x = numbers(rng, dtype)
    g = rng.standard_normal(x.shape).astype(dtype)
    exact, slopes = (each(x.astype(np.float64)) for each in (value, slope))
    y, dx = kernels.activation(function, x), kernels.activation_backward(function, g, x)
    assert y.dtype == dx.dtype == dtype
    eps = np.finfo(dtype).eps
    assert (abs(y - exact) <= 4 * eps * np.maximum(abs(x), abs(exact))).all()
    assert (abs(dx - g * slopes) <= 8 * eps * abs(g) * np.maximum(abs(slopes), 1)).all()


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (63,), (2, 65), (3, 5, 7), (700, 999)])
def test_any_shape_and_strides(shape, dtype, rng):
    x, g = (np.asarray(array)[..., ::-1] if shape else np.asarray(array) for array in rng.standard_normal((2, *shape)))
    x, g = x.astype(dtype, order="K"), g.astype(dtype, order="K")
    for name, (function, _, _) in FUNCTIONS.items():
        tolerance = 8 * np.finfo(dtype).eps
        y = kernels.activation(function, x.T)
        assert y.shape == x.T.shape
        np.testing.assert_allclose(y, kernels.activation(function, x.copy()).T, tolerance, tolerance, err_msg=name)
        expected = kernels.activation_backward(function, g.copy(), x.copy()).T
        dx = kernels.activation_backward(function, g.T, x.T)
        np.testing.assert_allclose(dx, expected, tolerance, tolerance, err_msg=name)


def test_limits_and_nan(dtype):
    x = np.array([np.inf, 1e30, -1e30, np.nan], dtype)
    for name, (function, value, _) in FUNCTIONS.items():
        y = kernels.activation(function, x)
        with np.errstate(invalid="ignore"):
            expected = value(x.astype(np.float64))
        np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-7, err_msg=name)


def test_no_gradient_passes_where_the_slope_is_zero():
    g = np.array([np.inf, np.nan, 1.0])
    dx = kernels.activation_backward(kernels.Shrink(0.5, 0), g, np.zeros(3))
    assert dx.tolist() == [0, 0, 0]


def test_invalid_arguments_are_named():
    with pytest.raises(TypeError, match="x must be a float32 or float64 array; got int64"):
        kernels.activation(kernels.Mish(1), np.arange(3))
    with pytest.raises(TypeError, match=r"f must be one of PiecewiseLinear, .*; got tuple"):
        kernels.activation((1.0,), np.ones(3))
    with pytest.raises(ValueError, match=r"g must have shape \(3,\); got \(2,\)"):
        kernels.activation_backward(kernels.Mish(1), np.ones(2), np.ones(3))
