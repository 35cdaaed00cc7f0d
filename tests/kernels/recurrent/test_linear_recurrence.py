"""Linear recurrences, against their definition in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import linear_recurrence


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray, lambda x: x[::-1]])
def test_each_element_adds_its_link_times_the_one_before(axis, layout, dtype, rng):
    b, a = (layout(rng.standard_normal((4, 3)).astype(dtype)) for _ in range(2))
    out = linear_recurrence(b, a, axis)
    assert out.dtype == dtype
    out, rows_b, rows_a = (np.moveaxis(x, axis, 0) for x in (out, b, a))
    np.testing.assert_array_equal(out[0], rows_b[0])
    np.testing.assert_allclose(out[1:], rows_b[1:] + rows_a[1:] * out[:-1], rtol=10 * np.finfo(dtype).eps)


def test_the_way_back_is_the_transpose(rng):
    a = rng.standard_normal(5)
    there, back = (np.stack([linear_recurrence(unit, a, reverse=r) for unit in np.eye(5)]) for r in (False, True))
    np.testing.assert_allclose(there, back.T, atol=1e-15)


def test_empty_rows_and_wrong_shapes():
    assert linear_recurrence(np.ones((2, 0)), np.ones((2, 0))).shape == (2, 0)
    with pytest.raises(ValueError, match="a must have shape"):
        linear_recurrence(np.ones(3), np.ones(2))
