"""Selection by a mask against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import kernels


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (65,), (3, 5, 7), (700, 999)])
def test_it_is_numpys_where(shape, dtype, rng):
    condition = np.asarray(rng.random(shape) < 0.5)
    a, b = np.asarray(rng.standard_normal(shape), dtype), np.asarray(rng.standard_normal(shape), dtype)
    scalar = np.asarray(np.nan, dtype)
    for left, right in ((a, b), (a, scalar), (scalar, b), (scalar, np.asarray(-0.0, dtype))):
        chosen = kernels.where(condition, left, right)
        assert chosen.dtype == dtype
        np.testing.assert_array_equal(chosen, np.where(condition, left, right))
    np.testing.assert_array_equal(kernels.where(condition.T, a.T, b.T), np.where(condition, a, b).T)


def test_invalid_arguments_are_named():
    mask = np.ones(3, bool)
    with pytest.raises(TypeError, match="condition must be a boolean array; got int64"):
        kernels.where(np.ones(3, np.int64), np.ones(3), np.ones(3))
    with pytest.raises(TypeError, match="b must have the dtype of a, float64; got float32"):
        kernels.where(mask, np.ones(3), np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"a must have shape \(3,\); got \(2,\)"):
        kernels.where(mask, np.ones(2), np.ones(3))
