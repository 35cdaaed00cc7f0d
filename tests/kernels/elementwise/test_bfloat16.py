"""bfloat16 as a storage format: nearest values, ties to even, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minigrad.kernels import from_bfloat16, to_bfloat16

inf, nan = np.inf, np.nan


@given(st.lists(st.floats(width=32), min_size=1))
def test_the_nearest_value_is_stored(numbers):
    x = np.array(numbers, np.float32)
    bits = to_bfloat16(x)
    found = from_bfloat16(bits)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
    # Neighbours in bits are neighbours in value, but for those of zeros and infinities; none is nearer.
    for step in (0xFFFF, 1):  # one less, one more
        beside = from_bfloat16(bits + np.uint16(step))
        known = np.isfinite(found) & np.isfinite(beside)
        wide = x[known].astype(np.float64)
        off, other = abs(found[known] - wide), abs(beside[known] - wide)
        assert (off <= other).all()
        assert (bits[known][off == other] % 2 == 0).all()


def test_every_bfloat16_is_stored_exactly():
    bits = np.arange(1 << 16, dtype=np.uint16)
    x = from_bfloat16(bits)
    known = ~np.isnan(x)
    np.testing.assert_array_equal(to_bfloat16(x)[known], bits[known])
    assert np.isnan(from_bfloat16(to_bfloat16(x[~known]))).all()


def test_ties_overflow_and_nan():
    x = np.array([1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, -3.4e38, inf, nan], np.float32)
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(x)), [1, 1 + 2**-6, inf, -inf, inf, nan])


def test_any_strides_and_shapes():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for view in (x.T, x[:, ::-1], x[..., :0], x[0, 0, 1:2].reshape(())):
        np.testing.assert_array_equal(from_bfloat16(to_bfloat16(view)), view)


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="x must be a float32 array; got float64"):
        to_bfloat16(np.ones(3))
    with pytest.raises(TypeError, match="bits must be a uint16 array; got float32"):
        from_bfloat16(np.ones(3, np.float32))
