"""Sums of parts: in order, in float64, rounded once."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 5), (2, 0), (2, 1), (3, 1023), (4, 1025), (7, 70_001)])
def test_the_sum_is_that_of_float64_rounded_once(dtype: type, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    parts = (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 6, shape)).astype(dtype)
    out = np.empty(shape[1], dtype)
    kernels.sum_parts(parts, out)
    total = np.zeros(shape[1])
    for part in parts:
        total = total + part
    np.testing.assert_array_equal(out, total.astype(dtype))


def test_infinities_and_nan_pass() -> None:
    out = np.empty(3, np.float32)
    kernels.sum_parts(np.array([[np.inf, np.inf, 1], [1, -np.inf, np.nan]], np.float32), out)
    np.testing.assert_array_equal(out, [np.inf, np.nan, np.nan])


def test_bad_arrays_are_named() -> None:
    with pytest.raises(ValueError, match=r"out must have shape \(4,\)"):
        kernels.sum_parts(np.zeros((2, 4)), np.zeros(3))
    with pytest.raises(TypeError, match="out must have the dtype"):
        kernels.sum_parts(np.zeros((2, 4)), np.zeros(4, np.float32))
