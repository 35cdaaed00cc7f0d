"""Convolution by matrix products against the plain loop, and its gradients against it through linearity."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import convolution, convolution_transpose, convolution_weight
from minigrad.kernels.convolutions import im2col
from minigrad.kernels.convolutions.polyphase import Geometry
from tests.kernels.convolutions.geometries import GEOMETRIES, derivative, reference

CHANNELS = [(1, 1, 1), (1, 3, 5), (2, 2, 3)]  # groups, channels and results of each


def drawn(rng, dtype, channels, geometry, images=3):
    groups, of_x, of_y = channels
    x = rng.standard_normal((images, groups * of_x, *geometry.size)).astype(dtype)
    weight = rng.standard_normal((groups * of_y, of_x, *geometry.window)).astype(dtype)
    y = rng.standard_normal((images, groups * of_y, *geometry.windows)).astype(dtype)
    return x, weight, y, groups


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_it_is_the_plain_loop(dtype, rng, name, channels):
    geometry = GEOMETRIES[name]
    x, weight, _, groups = drawn(rng, dtype, channels, geometry)
    bias = rng.standard_normal(len(weight)).astype(dtype)
    expected = reference(x, weight, geometry, groups)
    tolerance = 10 * (weight[0].size + 2) * np.finfo(dtype).eps
    y = convolution(x, weight, None, groups, geometry)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance)
    y = convolution(x, weight, bias, groups, geometry)
    np.testing.assert_allclose(y, expected + bias[:, None, None], rtol=0, atol=tolerance)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_gradients_are_those_of_the_plain_loop(dtype, rng, name, channels):
    geometry = GEOMETRIES[name]
    x, weight, y, groups = drawn(rng, dtype, channels, geometry)
    dx, dweight = convolution_transpose(y, weight, groups, geometry), convolution_weight(x, y, groups, geometry)
    assert dx.shape == x.shape and dweight.shape == weight.shape and dx.dtype == dweight.dtype == dtype
    tolerance = 10 * np.finfo(dtype).eps * (3 * y[0, 0].size + weight.size + 2)
    for index in rng.permutation(x.size)[:20]:
        expected = derivative(lambda unit: reference(unit, weight, geometry, groups), x.shape, y, index)
        np.testing.assert_allclose(dx.flat[index], expected, rtol=0, atol=tolerance)
    for index in rng.permutation(weight.size)[:20]:
        expected = derivative(lambda unit: reference(x, unit, geometry, groups), weight.shape, y, index)
        np.testing.assert_allclose(dweight.flat[index], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["3x3", "1x1", "stride and dilation"])
def test_parts_of_any_size_are_alike(dtype, rng, monkeypatch, name):
    """Few rows at a time, or several images at once; few channels of a transpose."""
    geometry = GEOMETRIES[name]
    x, weight, y, groups = drawn(rng, dtype, (2, 5, 40), geometry, images=7)
    bias = rng.standard_normal(len(weight)).astype(dtype)

    def everything():
        return (
            convolution(x, weight, bias, groups, geometry),
            convolution_transpose(y, weight, groups, geometry),
            convolution_weight(x, y, groups, geometry),
        )

    expected = everything()
    for lowered, columns, weights in ((1, 1, 1), (1, 32, 2 * 40 * weight[0, 0].size), (1 << 20, 1, 1 << 20)):
        monkeypatch.setattr(im2col, "LOWERED", lowered)
        monkeypatch.setattr(im2col, "COLUMNS", columns)
        monkeypatch.setattr(im2col, "WEIGHTS", weights)
        for found, value in zip(everything(), expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=0, atol=2000 * np.finfo(dtype).eps)


def test_large_ones_are_right_on_all_threads(dtype, rng):
    geometry = Geometry((20, 20), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
    x, weight, y, _ = drawn(rng, dtype, (1, 32, 40), geometry)
    expected = reference(x, weight, geometry, 1)
    found = convolution(x, weight, None, 1, geometry)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1000 * np.finfo(dtype).eps)
    total, tolerance = (expected * y).sum(), 1e5 * np.finfo(dtype).eps
    np.testing.assert_allclose((convolution_transpose(y, weight, 1, geometry) * x).sum(), total, atol=tolerance)
    np.testing.assert_allclose((convolution_weight(x, y, 1, geometry) * weight).sum(), total, atol=tolerance)


def test_any_strides(dtype, rng):
    geometry = GEOMETRIES["3x3"]
    x, weight, y, _ = drawn(rng, dtype, (1, 3, 4), geometry)
    strided = [np.asfortranarray(array) for array in (x, weight, y)]
    for function, first, second in ((convolution, 0, 1), (convolution_transpose, 2, 1), (convolution_weight, 0, 2)):
        more = (None, 1, geometry) if function is convolution else (1, geometry)
        packed = function((x, weight, y)[first], (x, weight, y)[second], *more)
        assert np.array_equal(function(strided[first], strided[second], *more), packed)


@pytest.mark.parametrize(("images", "of_x", "of_y"), [(0, 2, 3), (2, 0, 3), (2, 2, 0)])
def test_empty_arrays(dtype, rng, images, of_x, of_y):
    geometry = GEOMETRIES["3x3"]
    x, weight, y, _ = drawn(rng, dtype, (1, of_x, of_y), geometry, images)
    bias = np.full(of_y, 2, dtype)
    assert (convolution(x, weight, bias, 1, geometry) == 2).all()
    assert not convolution_transpose(y, weight, 1, geometry).any()
    assert not convolution_weight(x, y, 1, geometry).any()


def test_invalid_arguments_are_named():
    geometry = GEOMETRIES["3x3"]
    x, weight = np.ones((1, 4, 7, 6)), np.ones((6, 2, 3, 3))
    with pytest.raises(ValueError, match=r"x must have shape \(1, 4, 7, 6\); got \(1, 4, 6, 7\)"):
        convolution(x.swapaxes(2, 3), weight, None, 2, geometry)
    with pytest.raises(ValueError, match=r"weight must have shape \(6, 4, 3, 3\); got \(6, 2, 3, 3\)"):
        convolution(x, weight, None, 1, geometry)
    with pytest.raises(ValueError, match=r"bias must have shape \(6,\); got \(2,\)"):
        convolution(x, weight, np.ones(2), 2, geometry)
    with pytest.raises(TypeError, match="weight must have the dtype of y, float64; got float32"):
        convolution_transpose(np.ones((1, 6, 7, 6)), weight.astype(np.float32), 2, geometry)
    with pytest.raises(ValueError, match=r"y must have shape \(1, 6, 7, 6\); got \(1, 6, 7, 5\)"):
        convolution_weight(x, np.ones((1, 6, 7, 5)), 2, geometry)
