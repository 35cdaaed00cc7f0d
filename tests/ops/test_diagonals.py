"""Diagonals and traces: their values are NumPy's, their derivatives agree with differences, twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.func import vmap
from minigrad.testing import gradcheck, strategies


@st.composite
def diagonals(draw: st.DrawFn, min_side: int = 1) -> tuple[np.ndarray, dict[str, Any]]:
    """A matrix or a stack of them, and which diagonal."""
    x = draw(strategies.arrays(strategies.shapes(min_dims=2, max_dims=4, min_side=min_side)))
    axis1, axis2 = draw(st.permutations(range(x.ndim)))[:2]
    shift = draw(st.sampled_from([0, x.ndim]))
    offset = draw(st.integers(1 - max(x.shape[axis1], 1), max(x.shape[axis2], 1) - 1))
    return x, {"offset": offset, "axis1": axis1, "axis2": axis2 - shift}


@given(case=diagonals(min_side=0))
def test_values_are_numpys(case: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, which = case
    np.testing.assert_array_equal(mg.diagonal(x, **which).numpy(), np.diagonal(x, **which))
    np.testing.assert_allclose(mg.trace(x, **which).numpy(), np.trace(x, **which), rtol=1e-12, atol=1e-14)


@given(case=diagonals())
def test_derivatives_agree_with_differences_to_second_order(case: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, which = case
    assert gradcheck(lambda t: mg.diagonal(t, **which) ** 2, x, order=2)
    assert gradcheck(lambda t: mg.trace(t * t, **which), x, order=2)


@given(case=diagonals())
def test_they_run_over_batches_the_code_does_not_see(case: tuple[np.ndarray, dict[str, Any]]) -> None:
    x, which = case
    batch = mg.asarray(np.stack([x, 2 * x]))
    both = vmap(lambda t: mg.diagonal(t, **which))(batch)
    np.testing.assert_array_equal(both.numpy(), np.stack([np.diagonal(x, **which), 2 * np.diagonal(x, **which)]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_, np.float32])
def test_traces_have_numpys_dtype(dtype: type) -> None:
    x = np.ones((3, 3), dtype)
    assert mg.trace(x).dtype == np.trace(x).dtype
    assert mg.trace(x, dtype=mg.int16).dtype == np.int16


def test_arrays_without_a_diagonal_are_refused() -> None:
    with pytest.raises(ValueError, match="two dimensions"):
        mg.diagonal(mg.ones(3))
    with pytest.raises(ValueError, match="cannot be the same"):
        mg.diagonal(mg.ones((3, 3)), 0, 1, 1)
