"""Plain softmax and layer normalization against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels.rowwise import plain

SHAPES = [(1, 1), (3, 1), (1, 9), (5, 33)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_softmax_is_its_formula(dtype, rng, shape):
    x = 30 * rng.standard_normal(shape).astype(dtype)
    terms = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    expected = terms / terms.sum(axis=1, keepdims=True)
    result = plain.softmax(x)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=300 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_layer_norm_is_its_formula(rng, shape):
    x, weight, bias = 3 + rng.standard_normal(shape), rng.standard_normal(shape[1]), rng.standard_normal(shape[1])
    mean, variance = x.mean(axis=1), x.var(axis=1)
    rstd = 1 / np.sqrt(variance + 1e-3)
    expected = (x - mean[:, None]) * rstd[:, None] * weight + bias, mean, rstd
    for result, exact in zip(plain.layer_norm(x, weight, bias, 1e-3), expected, strict=True):
        np.testing.assert_allclose(result, exact, rtol=1e-12, atol=1e-12)
