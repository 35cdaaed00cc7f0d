"""Plain softmax, layer and group normalization against NumPy."""

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


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 6, 1), (3, 6, 5)])
def test_the_plain_group_norm_is_its_formula(rng, shape):
    x, weight, bias = 3 + rng.standard_normal(shape), *rng.standard_normal((2, shape[1]))
    for groups in {1, max(1, shape[1] // 2), shape[1]}:
        sets = x.reshape(shape[0], groups, -1)
        mean, rstd = sets.mean(axis=2), 1 / np.sqrt(sets.var(axis=2) + 1e-3)
        z = ((sets - mean[:, :, None]) * rstd[:, :, None]).reshape(shape)
        expected = z * weight[:, None] + bias[:, None], mean, rstd
        for result, exact in zip(plain.group_norm(x, groups, weight, bias, 1e-3), expected, strict=True):
            np.testing.assert_allclose(result, exact, rtol=1e-12, atol=1e-12)
