"""Reductions over rows and channels."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import kernels
from minigrad.kernels import sum_rows


@pytest.mark.parametrize("shape", [(1, 1), (33, 7), (100, 1), (64, 257), (0, 3), (3, 0), (2000, 300)])
def test_the_sum_is_within_the_bound_of_blocked_summation(dtype, rng, shape):
    x = rng.standard_normal(shape).astype(dtype)
    total = sum_rows(x)
    bound = (32 + shape[0] / 32 + 1) * np.finfo(dtype).eps * abs(x).sum(axis=0, dtype=np.float64)
    assert total.dtype == dtype
    assert (abs(total - x.sum(axis=0, dtype=np.float64)) <= bound).all()


@pytest.mark.parametrize("view", [np.s_[::2, ::3], np.s_[::-1], np.s_[:, ::-1]])
def test_any_strides(dtype, rng, view):
    x = rng.integers(-9, 9, (40, 30)).astype(dtype)
    assert np.array_equal(sum_rows(x[view]), x[view].sum(axis=0))
    assert np.array_equal(sum_rows(x.T), x.T.sum(axis=0))


def test_infinities_and_nan_stay_in_their_column(dtype):
    x = np.ones((70, 4), dtype)
    x[50, 1], x[3, 2] = np.inf, np.nan
    np.testing.assert_array_equal(sum_rows(x), np.array([70, np.inf, np.nan, 70], dtype))


def test_something_else_than_a_matrix_of_floats_is_refused():
    with pytest.raises(ValueError, match="x must have shape"):
        sum_rows(np.ones(3))
    with pytest.raises(TypeError, match="x must be"):
        sum_rows(np.ones((3, 3), np.int64))


@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 3), (0, 3), (2, 0, 4), (2, 3, 0), (3, 5, 7), (2, 4, 65, 40), (9, 200, 400)]
)
def test_sums_of_channels_are_right(dtype, rng, shape):
    x = rng.standard_normal(shape).astype(dtype)
    expected = x.sum(axis=(0, *range(2, x.ndim)), dtype=np.float64)
    bound = 20 * np.finfo(dtype).eps * np.abs(x, dtype=np.float64).sum(axis=(0, *range(2, x.ndim)))
    result = kernels.sum_channels(x)
    assert result.dtype == dtype and (abs(result - expected) <= bound).all()
    assert np.array_equal(kernels.sum_channels(x.T.copy().T), result)


def test_what_has_no_channels_is_refused():
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, ...\); got \(3,\)"):
        kernels.sum_channels(np.ones(3))
