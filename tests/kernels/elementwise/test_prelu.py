"""Parametric rectified linear units against NumPy, in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import prelu, prelu_backward

SHAPES = [(1, 1), (3, 5), (7, 130), (1, 4097), (300, 17), (2000, 512), (0, 3), (3, 0)]


def drawn(rng, dtype, shape, strided):
    """x, its gradient, and weights; strided ones skip every other element."""
    step = 2 if strided else 1
    x, g = (rng.standard_normal((shape[0], step * shape[1])).astype(dtype)[:, ::step] for _ in range(2))
    return x, g, rng.standard_normal(step * shape[1]).astype(dtype)[::step]


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(shape, strided, dtype, rng):
    x, g, weight = drawn(rng, dtype, shape, strided)
    wide = x.astype(np.float64)
    np.testing.assert_array_equal(prelu(x, weight), np.where(x > 0, x, weight * x))
    dx, dweight = prelu_backward(g, x, weight)
    np.testing.assert_array_equal(dx, np.where(x > 0, g, weight * g))
    terms = g * np.where(wide > 0, 0, wide)
    bound = (len(x) + 2) * np.finfo(dtype).eps * abs(terms).sum(axis=0)
    assert (abs(dweight - terms.sum(axis=0)) <= bound).all()
    assert dx.dtype == dweight.dtype == dtype


def test_extremes(dtype):
    x = np.array([[0.0, -0.0, np.inf, -np.inf, np.nan]], dtype)
    weight, g = np.full(5, 0.5, dtype), np.ones((1, 5), dtype)
    np.testing.assert_array_equal(prelu(x, weight), [[0, 0, np.inf, -np.inf, np.nan]])
    dx, dweight = prelu_backward(g, x, weight)
    np.testing.assert_array_equal(dx, [[0.5, 0.5, 1, 0.5, 0.5]])
    np.testing.assert_array_equal(dweight, [0, 0, 0, -np.inf, np.nan])


def test_invalid_arguments_are_named():
    x, weight = np.ones((2, 3)), np.ones(3)
    with pytest.raises(TypeError, match="weight must have the dtype of x, float64; got float32"):
        prelu(x, weight.astype(np.float32))
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\); got \(2,\)"):
        prelu(x, weight[:2])
    with pytest.raises(ValueError, match=r"x must have two dimensions; got shape \(3,\)"):
        prelu(weight, weight)
    with pytest.raises(ValueError, match=r"g must have shape \(2, 3\); got \(3,\)"):
        prelu_backward(weight, x, weight)
