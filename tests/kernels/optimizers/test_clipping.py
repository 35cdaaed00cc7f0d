"""Norms and scaling of many arrays at once."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import scale_arrays, squared_norm, squared_norms

SHAPES = [(3,), (0,), (700, 130), (1,), (40, 33), ()]


def test_the_squared_norm_is_that_of_all_elements_together(dtype, rng):
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    expected = sum((array.astype(np.float64) ** 2).sum() for array in arrays)
    assert squared_norm(arrays) == pytest.approx(expected, rel=1e-12)
    assert squared_norm([array.T[::-1] for array in arrays if array.ndim]) == pytest.approx(expected, rel=1e-3)
    assert squared_norm([]) == 0
    np.testing.assert_allclose(
        squared_norms(arrays), [np.sum(np.square(array, dtype=np.float64)) for array in arrays], rtol=1e-12
    )


def test_large_elements_neither_overflow_nor_hide_small_ones():
    assert squared_norm([np.full(4, 1e30, np.float32)]) == pytest.approx(4e60)
    mixed = [np.array([1e4], np.float32), np.full(10**6, 1e-2, np.float32)]
    assert squared_norm(mixed) == pytest.approx(1e8 + 100, rel=1e-9)


def test_infinities_and_nan_show(dtype):
    assert squared_norm([np.ones(3, dtype), np.array([np.inf], dtype)]) == np.inf
    assert np.isnan(squared_norm([np.array([np.nan, 1.0], dtype)]))


def test_all_arrays_are_scaled_in_place(dtype, rng):
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    expected = [array * dtype(0.3) for array in arrays]
    scale_arrays(arrays, 0.3)
    for array, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)
    scale_arrays([], 2.0)


def test_unscalable_arguments_are_named(dtype):
    with pytest.raises(ValueError, match=r"arrays\[1\] must be C-contiguous"):
        scale_arrays([np.ones(2, dtype), np.ones((4, 4), dtype)[:, ::2]], 2.0)
    with pytest.raises(TypeError, match=r"arrays\[0\] must be a float"):
        squared_norm([np.ones(2, np.int64)])
