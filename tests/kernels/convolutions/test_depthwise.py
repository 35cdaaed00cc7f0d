"""Depthwise convolution against the plain loop, and its gradients against it through linearity."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import depthwise_convolution, depthwise_convolution_transpose, depthwise_convolution_weight
from minigrad.kernels.convolutions.polyphase import Geometry
from tests.kernels.convolutions.geometries import GEOMETRIES, derivative, reference


def depthwise(x, weight, geometry):
    return reference(x, weight[:, None], geometry, x.shape[1])


CHANNELS = [(3, 1), (2, 3)]  # and results of each


@pytest.mark.parametrize(("channels", "each"), CHANNELS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_it_is_the_plain_loop(dtype, rng, name, channels, each):
    geometry = GEOMETRIES[name]
    x = rng.standard_normal((3, channels, *geometry.size)).astype(dtype)
    weight = rng.standard_normal((channels * each, *geometry.window)).astype(dtype)
    bias = rng.standard_normal(channels * each).astype(dtype)
    expected = depthwise(x, weight, geometry)
    tolerance = 10 * (weight[0].size + 2) * np.finfo(dtype).eps
    y = depthwise_convolution(x, weight, None, geometry)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)
    y = depthwise_convolution(x, weight, bias, geometry)
    np.testing.assert_allclose(y, expected + bias[:, None, None], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("channels", "each"), CHANNELS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_gradients_are_those_of_the_plain_loop(dtype, rng, name, channels, each):
    geometry = GEOMETRIES[name]
    x = rng.standard_normal((3, channels, *geometry.size)).astype(dtype)
    weight = rng.standard_normal((channels * each, *geometry.window)).astype(dtype)
    y = rng.standard_normal((3, channels * each, *geometry.windows)).astype(dtype)
    dx = depthwise_convolution_transpose(y, weight, channels, geometry)
    dweight = depthwise_convolution_weight(x, y, geometry)
    assert dx.shape == x.shape and dweight.shape == weight.shape and dx.dtype == dweight.dtype == dtype
    tolerance = 10 * np.finfo(dtype).eps * (3 * y[0, 0].size + weight[:each].size + 2)
    for index in rng.permutation(x.size)[:20]:
        expected = derivative(lambda unit: depthwise(unit, weight, geometry), x.shape, y, index)
        np.testing.assert_allclose(dx.flat[index], expected, rtol=0, atol=tolerance)
    for index in rng.permutation(weight.size)[:20]:
        expected = derivative(lambda unit: depthwise(x, unit, geometry), weight.shape, y, index)
        np.testing.assert_allclose(dweight.flat[index], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("axes", [1, 3])
def test_other_numbers_of_axes(dtype, rng, axes):
    """Against two axes, the others being of size 1; on three axes against a loop over the first one's elements."""
    line = Geometry((9,), (3,), (2,), (2,), ((1, 2),))
    if axes == 1:
        flat = Geometry((1, 9), (1, 3), (1, 2), (1, 2), ((0, 0), (1, 2)))
        x, weight = rng.standard_normal((2, 3, 9)).astype(dtype), rng.standard_normal((6, 3)).astype(dtype)
        y = depthwise_convolution(x, weight, None, line)
        assert np.array_equal(y, depthwise_convolution(x[:, :, None], weight[:, None], None, flat)[:, :, 0])
        return
    whole = Geometry((5, 6, 7), (2, 3, 2), (2, 1, 2), (1, 2, 1), ((1, 0), (1, 1), (0, 1)))
    slab = Geometry(*(field[1:] for field in whole))
    x = rng.standard_normal((2, 3, 5, 6, 7)).astype(dtype)
    weight = rng.standard_normal((3, 2, 3, 2)).astype(dtype)
    around = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0), (0, 0)))
    expected = np.zeros((2, 3, *whole.windows))
    for depth in range(whole.windows[0]):
        for k in range(2):
            expected[:, :, depth] += depthwise(around[:, :, 2 * depth + k], weight[:, k], slab)
    y = depthwise_convolution(x, weight, None, whole)
    np.testing.assert_allclose(y, expected, rtol=0, atol=200 * np.finfo(dtype).eps)
    g = rng.standard_normal(y.shape).astype(dtype)
    for gradient, array in (
        (depthwise_convolution_transpose(g, weight, 3, whole), x),
        (depthwise_convolution_weight(x, g, whole), weight),
    ):
        np.testing.assert_allclose((gradient * array).sum(), (g * y).sum(), rtol=0, atol=3000 * np.finfo(dtype).eps)


def test_any_strides(dtype, rng):
    geometry = GEOMETRIES["3x3"]
    x = rng.standard_normal((7, 6, 2, 3)).astype(dtype).transpose(2, 3, 0, 1)
    weight = rng.standard_normal((3, 3, 3)).astype(dtype).T
    y = depthwise_convolution(x, weight, None, geometry)
    assert np.array_equal(y, depthwise_convolution(x.copy(), weight.copy(), None, geometry))
    g = y.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)
    assert np.array_equal(
        depthwise_convolution_weight(x, g, geometry), depthwise_convolution_weight(x.copy(), y, geometry)
    )
    assert np.array_equal(
        depthwise_convolution_transpose(g, weight, 3, geometry),
        depthwise_convolution_transpose(y, weight.copy(), 3, geometry),
    )


def test_empty_batches(dtype):
    geometry = GEOMETRIES["3x3"]
    x, weight = np.empty((0, 3, 7, 6), dtype), np.ones((3, 3, 3), dtype)
    assert depthwise_convolution(x, weight, None, geometry).shape == (0, 3, 7, 6)
    assert depthwise_convolution_transpose(x, weight, 3, geometry).shape == (0, 3, 7, 6)
    assert not depthwise_convolution_weight(x, x, geometry).any()


def test_invalid_arguments_are_named():
    geometry = GEOMETRIES["3x3"]
    x, weight = np.ones((1, 3, 7, 6)), np.ones((3, 3, 3))
    with pytest.raises(ValueError, match=r"x must have shape \(1, 3, 7, 6\); got \(1, 3, 6, 7\)"):
        depthwise_convolution(x.swapaxes(2, 3), weight, None, geometry)
    with pytest.raises(ValueError, match=r"weight must have shape \(3, 3, 3\); got \(3, 3\)"):
        depthwise_convolution(x, weight[0], None, geometry)
    with pytest.raises(ValueError, match="weight must have a multiple of 3 results; got 4"):
        depthwise_convolution(x, np.ones((4, 3, 3)), None, geometry)
    with pytest.raises(ValueError, match=r"bias must have shape \(3,\); got \(1,\)"):
        depthwise_convolution(x, weight, np.ones(1), geometry)
    with pytest.raises(TypeError, match="weight must have the dtype of x, float64; got float32"):
        depthwise_convolution(x, weight.astype(np.float32), None, geometry)
    with pytest.raises(ValueError, match=r"y must have shape \(1, 3, 7, 6\); got \(1, 3, 7, 5\)"):
        depthwise_convolution_weight(x, x[..., :5], geometry)
