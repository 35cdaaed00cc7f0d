"""Group and batch normalisation against the plain loop and, backwards, against Jacobians, in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import batch_norm, batch_norm_backward, group_norm, group_norm_backward
from minigrad.kernels.rowwise import plain

# Channels of one element, of few and of many in a row, of several chunks; work for several threads
SHAPES = [(1, 1), (2, 6), (3, 6, 1), (5, 4, 7), (2, 6, 3, 5), (3, 4, 65), (2, 2, 33, 37), (2, 12, 2500)]
SHAPES += [(70, 300, 3, 3), (300, 600)]


def groups_of(shape):
    return sorted({groups for groups in (1, 2, shape[1]) if shape[1] % groups == 0})


def reference(x, groups, weight, bias, eps):
    """The plain loop in double precision, for any number of spatial axes."""
    rows, weight, bias = (a.astype(np.float64) for a in (x.reshape(*x.shape[:2], -1), weight, bias))
    y, mean, rstd = plain.group_norm(rows, groups, weight, bias, eps)
    return y.reshape(x.shape), mean, rstd


def as_one_example(x):
    """(N, C, ...) as (1, C, N * size): a batch norm is a group norm of this with a channel in each group."""
    return x.reshape(*x.shape[:2], -1).swapaxes(0, 1).reshape(1, x.shape[1], -1)


def undone(x, shape):
    return x.reshape(shape[1], shape[0], -1).swapaxes(0, 1).reshape(shape)


def reference_backward(g, x, groups, weight, eps):
    """Through the product with the Jacobian of each set's normalisation, so that the formula is not repeated."""
    n, channels = x.shape[:2]
    sets = x.reshape(n, groups, -1).astype(np.float64)
    gradients = g.reshape(n, channels, -1).astype(np.float64)
    h = (gradients * weight.astype(np.float64)[:, None]).reshape(sets.shape)
    deviation = sets - sets.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt(sets.var(axis=-1, keepdims=True) + eps)
    # The Jacobian is scale · (I - 1/n) - scale³/n · deviation deviationᵀ.
    dx = scale * (h - h.mean(axis=-1, keepdims=True))
    dx -= scale**3 * deviation * (deviation * h).mean(axis=-1, keepdims=True)
    z = (deviation * scale).reshape(gradients.shape)
    return dx.reshape(x.shape), (gradients * z).sum(axis=(0, 2)), gradients.sum(axis=(0, 2))


def assert_close(found, expected, dtype, terms):
    for result, value in zip(found, expected, strict=True):
        assert result.dtype == dtype and result.shape == value.shape
        np.testing.assert_allclose(result, value, rtol=0, atol=20 * terms * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", SHAPES)
def test_group_norm_is_right(dtype, rng, shape):
    x, g = ((offset + rng.standard_normal(shape)).astype(dtype) for offset in (3, 0))
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype)
    for groups in groups_of(shape):
        terms = x.size // shape[1] + x[0].size // groups + 10
        y, mean, rstd = group_norm(x, groups, weight, bias, 1e-1)
        assert_close((y, mean, rstd), reference(x, groups, weight, bias, 1e-1), dtype, terms)
        found = group_norm_backward(g, x, weight, mean, rstd)
        assert_close(found, reference_backward(g, x, groups, weight, 1e-1), dtype, terms)


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_is_right(dtype, rng, shape):
    x, g = ((offset + rng.standard_normal(shape)).astype(dtype) for offset in (3, 0))
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype)
    terms = x.size // shape[1] + 10
    y, mean, variance, rstd = batch_norm(x, weight, bias, 1e-1)
    expected = reference(as_one_example(x), shape[1], weight, bias, 1e-1)
    assert_close((y, mean, rstd), (undone(expected[0], shape), expected[1][0], expected[2][0]), dtype, terms)
    assert_close((variance,), (as_one_example(x.astype(np.float64))[0].var(axis=-1),), dtype, terms)
    dx, *of_affine = reference_backward(*map(as_one_example, (g, x)), shape[1], weight, 1e-1)
    found = batch_norm_backward(g, x, weight, mean, rstd)
    assert_close(found, (undone(dx, shape), *of_affine), dtype, terms)


@pytest.mark.parametrize("size", [3, 200])
def test_without_weight_and_bias_they_are_ones_and_zeros(dtype, rng, size):
    x, g = rng.standard_normal((2, 3, 4, size)).astype(dtype)
    ones, zeros, statistics = np.ones(4, dtype), np.zeros(4, dtype), (g[:, :2, 0], g[:, 2:, 0])
    for bare, full in (
        (group_norm(x, 2), group_norm(x, 2, ones, zeros)),
        (batch_norm(x), batch_norm(x, ones, zeros)),
        (group_norm_backward(g, x, None, *statistics), group_norm_backward(g, x, ones, *statistics)),
        (batch_norm_backward(g, x, None, ones, ones), batch_norm_backward(g, x, ones, ones, ones)),
    ):
        for one, other in zip(bare, full, strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("size", [1, 100])
def test_a_large_common_offset_does_not_drown_the_variance(dtype, size):
    row = np.repeat(np.array([0, 1, 2, 3], dtype), size) + dtype(2 ** (np.finfo(dtype).nmant - 12))  # sums are exact
    expected = np.repeat([-1.34164079, -0.4472136, 0.4472136, 1.34164079], size)
    np.testing.assert_allclose(group_norm(row[None, None], 1, eps=0.0)[0][0, 0], expected, rtol=1e-6)
    images = row.reshape(4, 1, size)
    np.testing.assert_allclose(batch_norm(images, eps=0.0)[0].ravel(), expected, rtol=1e-6)


def test_sums_over_many_elements_are_exact_to_float32(rng):
    """Added one after the other in float32, two million elements of mean 100 would lose the third digit."""
    for shape in ((1_000_000, 2), (2, 2, 500_000)):
        x = (100 + rng.standard_normal(shape)).astype(np.float32)
        _, mean, variance, _ = batch_norm(x)
        exact = as_one_example(x.astype(np.float64))[0]
        np.testing.assert_allclose(mean, exact.mean(axis=-1), rtol=3e-7)
        np.testing.assert_allclose(variance, exact.var(axis=-1), rtol=1e-5)


def test_constant_channels_give_the_bias(dtype):
    two = np.full(3, 2, dtype)
    for shape in ((4, 3), (4, 3, 100)):
        x = np.full(shape, 5, dtype)
        y, _, variance, rstd = batch_norm(x, None, two, 1e-4)
        assert (y == 2).all() and (variance == 0).all()
        np.testing.assert_allclose(rstd, 100, rtol=1e-5)
        assert (group_norm(x, 1, None, two, 1e-4)[0] == 2).all()


@pytest.mark.parametrize("size", [3, 90])
def test_any_strides(dtype, rng, size):
    x, g = rng.standard_normal((2, size, 6, 5)).astype(dtype).transpose(0, 3, 2, 1)
    weight = np.repeat(rng.standard_normal(6).astype(dtype), 2)[::2]
    packed = x.copy(), weight.copy(), g.copy()
    y, mean, rstd = group_norm(x, 3, weight)
    assert np.array_equal(y, group_norm(packed[0], 3, packed[1])[0])
    for one, other in zip(
        group_norm_backward(g, x, weight, mean, rstd),
        group_norm_backward(packed[2], *packed[:2], mean, rstd),
        strict=True,
    ):
        assert np.array_equal(one, other)
    y, mean, _, rstd = batch_norm(x, weight)
    assert np.array_equal(y, batch_norm(*packed[:2])[0])
    for one, other in zip(
        batch_norm_backward(g, x, weight, mean, rstd),
        batch_norm_backward(packed[2], *packed[:2], mean, rstd),
        strict=True,
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (2, 4, 0), (2, 4, 3, 0)])
def test_empty_arrays(dtype, shape):
    x = np.empty(shape, dtype)
    y, mean, rstd = group_norm(x, 2)
    assert (y.shape, mean.shape, rstd.shape) == (shape, (shape[0], 2), (shape[0], 2))
    dx, dweight, dbias = group_norm_backward(x, x, None, mean, rstd)
    assert dx.shape == shape and dweight.tolist() == dbias.tolist() == [0] * 4
    y, mean, variance, rstd = batch_norm(x)
    assert (y.shape, mean.shape, variance.shape) == (shape, (4,), (4,))
    dx, dweight, dbias = batch_norm_backward(x, x, None, mean, rstd)
    assert dx.shape == shape and dweight.tolist() == dbias.tolist() == [0] * 4


def test_invalid_arguments_are_named():
    x = np.ones((2, 6, 5))
    row = np.ones(6)
    with pytest.raises(ValueError, match=r"weight must have shape \(6,\); got \(2,\)"):
        group_norm(x, 2, np.ones(2))
    with pytest.raises(TypeError, match="bias must have the dtype of x, float64; got float32"):
        batch_norm(x, None, np.ones(6, np.float32))
    with pytest.raises(ValueError, match="groups must divide the 6 channels; got 4"):
        group_norm(x, 4)
    with pytest.raises(TypeError, match="groups must be an integer; got float"):
        group_norm(x, 2.0)
    with pytest.raises(TypeError, match="eps must be a number; got str"):
        batch_norm(x, eps="small")
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, ...\); got \(6,\)"):
        batch_norm(row)
    with pytest.raises(ValueError, match=r"g must have shape \(2, 6, 5\); got \(2, 6\)"):
        batch_norm_backward(x[..., 0], x, None, row, row)
    with pytest.raises(ValueError, match=r"mean must have shape \(2, groups\); got \(6,\)"):
        group_norm_backward(x, x, None, row, row)
    with pytest.raises(ValueError, match=r"rstd must have shape \(2, 3\); got \(2, 2\)"):
        group_norm_backward(x, x, None, np.ones((2, 3)), np.ones((2, 2)))
