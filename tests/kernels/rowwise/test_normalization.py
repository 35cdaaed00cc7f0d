"""Layer normalisation against the plain loop, its gradient and RMS norm against NumPy, in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import (
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from minigrad.kernels.rowwise import plain

SHAPES = [(1,), (7,), (3, 1), (5, 17), (2, 3, 64), (33, 65), (4001, 40)]


def reference(x, weight, bias, eps):
    """The plain loop in double precision, for any leading dimensions."""
    rows, weight, bias = (array.astype(np.float64) for array in (x.reshape(-1, x.shape[-1]), weight, bias))
    y, mean, rstd = plain.layer_norm(rows, weight, bias, eps)
    return y.reshape(x.shape), mean.reshape(x.shape[:-1]), rstd.reshape(x.shape[:-1])


def reference_backward(g, x, weight, eps):
    """Through the Jacobian of the normalisation, row by row, so that the formula under test is not repeated."""
    n = x.shape[-1]
    rows, gradients = x.reshape(-1, n).astype(np.float64), g.reshape(-1, n).astype(np.float64)
    dx, dweight = np.empty_like(rows), np.zeros(n)
    for i, (row, gradient) in enumerate(zip(rows, gradients, strict=True)):
        center, scale = row - row.mean(), 1 / np.sqrt(row.var() + eps)
        jacobian = scale * (np.eye(n) - 1 / n) - scale**3 / n * np.outer(center, center)
        dx[i] = jacobian @ (gradient * weight)
        dweight += gradient * center * scale
    return dx.reshape(x.shape), dweight, gradients.sum(axis=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_is_right(dtype, rng, shape):
    x = (3 + rng.standard_normal(shape)).astype(dtype)
    weight, bias = (rng.standard_normal(shape[-1]).astype(dtype) for _ in range(2))
    tolerance = 50 * (shape[-1] + 10) * np.finfo(dtype).eps
    for result, expected in zip(layer_norm(x, weight, bias, 1e-3), reference(x, weight, bias, 1e-3), strict=True):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_backward_is_right(dtype, rng, shape):
    x, g = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    weight = rng.standard_normal(shape[-1]).astype(dtype)
    _, mean, rstd = layer_norm(x, weight, None, 1e-2)
    rows = int(np.prod(shape[:-1]))
    for result, expected in zip(
        layer_norm_backward(g, x, weight, mean, rstd), reference_backward(g, x, weight, 1e-2), strict=True
    ):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=0, atol=100 * (shape[-1] + rows + 10) * np.finfo(dtype).eps)


def test_without_weight_and_bias_rows_are_normalised(dtype, rng):
    x, g = rng.standard_normal((2, 6, 50)).astype(dtype)
    y, mean, rstd = layer_norm(x, eps=0.0)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=tolerance)
    np.testing.assert_allclose(y.var(axis=-1), 1, atol=tolerance)
    with_ones = layer_norm_backward(g, x, np.ones(50, dtype), mean, rstd)
    for bare, expected in zip(layer_norm_backward(g, x, None, mean, rstd), with_ones, strict=True):
        assert np.array_equal(bare, expected)


def test_a_large_common_offset_does_not_drown_the_variance(dtype):
    x = np.array([[0, 1, 2, 3]], dtype) + dtype(2 ** (np.finfo(dtype).nmant - 4))
    y, _, _ = layer_norm(x, eps=0.0)
    np.testing.assert_allclose(y, [[-1.34164079, -0.4472136, 0.4472136, 1.34164079]], rtol=1e-6)


def test_a_constant_row_gives_the_bias(dtype):
    y, _, rstd = layer_norm(np.full((1, 8), 5, dtype), None, np.full(8, 2, dtype), 1e-4)
    assert (y == 2).all()
    np.testing.assert_allclose(rstd, 100, rtol=1e-5)


def test_any_strides(dtype, rng):
    x, g = rng.standard_normal((2, 30, 20)).astype(dtype)
    weight = np.repeat(rng.standard_normal(30).astype(dtype), 2)[::2]
    y, mean, rstd = layer_norm(x.T, weight)
    assert np.array_equal(y, layer_norm(x.T.copy(), weight.copy())[0])
    strided = layer_norm_backward(g.T, x.T, weight, mean, rstd)
    for result, expected in zip(strided, layer_norm_backward(g.T.copy(), x.T.copy(), weight, mean, rstd), strict=True):
        assert np.array_equal(result, expected)


@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 4), (3, 0)])
def test_empty_arrays(dtype, shape):
    x = np.empty(shape, dtype)
    y, mean, rstd = layer_norm(x)
    assert (y.shape, mean.shape, rstd.shape) == (shape, shape[:-1], shape[:-1])
    dx, dweight, dbias = layer_norm_backward(x, x, None, mean, rstd)
    assert dx.shape == shape
    assert dweight.tolist() == dbias.tolist() == [0] * shape[-1]


def test_invalid_arguments_are_named():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\); got \(2,\)"):
        layer_norm(x, np.ones(2))
    with pytest.raises(TypeError, match="bias must have the dtype of x, float64; got float32"):
        layer_norm(x, None, np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"g must have shape \(2, 3\); got \(2, 2\)"):
        layer_norm_backward(np.ones((2, 2)), x, None, np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="x must have at least one dimension"):
        layer_norm(np.array(1.0))


@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm_is_right(dtype, rng, shape):
    x, g = (3 + rng.standard_normal((2, *shape))).astype(dtype)
    weight = rng.standard_normal(shape[-1]).astype(dtype)
    y, rstd = rms_norm(x, weight, 1e-3)
    dx, dweight = rms_norm_backward(g, x, weight, rstd)
    n, rows = shape[-1], int(np.prod(shape[:-1]))
    exact = 1 / np.sqrt(np.square(x, dtype=np.float64).mean(axis=-1, keepdims=True) + 1e-3)
    z, h = x * exact, g.astype(np.float64) * weight
    tolerance = 100 * (n + rows + 10) * np.finfo(dtype).eps
    # Through the Jacobian of z: exact · (identity - z zᵀ / n), applied to h.
    jacobians = exact[..., None] * (np.eye(n) - z[..., :, None] * z[..., None, :] / n)
    for result, expected in (
        (y, z * weight),
        (rstd, exact[..., 0]),
        (dx, np.einsum("...ij,...j->...i", jacobians, h)),
        (dweight, (g * z).reshape(-1, n).sum(axis=0)),
    ):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * max(1, abs(expected).max()))
