"""Triangles, diagonals and blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import linalg

import minigrad as mg
from minigrad.testing import gradcheck, strategies


@pytest.mark.parametrize("name", ["tril", "triu"])
@given(data=st.data())
def test_triangles_are_numpys_with_derivatives(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=2), data.draw(strategies.dtypes())))
    k = data.draw(st.integers(-5, 5))
    result = getattr(mg, name)(mg.asarray(x), k=k)
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result.numpy(), getattr(np, name)(x, k))
    if x.dtype == np.float64:
        assert gradcheck(lambda t: getattr(mg, name)(t * t, k=k), x, order=2)


def test_a_diagonal_may_be_as_far_away_as_one_likes() -> None:
    x = mg.ones((2, 3))
    assert mg.tril(x, k=2**80).tolist() == mg.triu(x, k=-(2**80)).tolist() == x.tolist()
    assert mg.eye(2, 3, k=2**80).tolist() == mg.zeros((2, 3)).tolist()
    np.testing.assert_array_equal(mg.tri(3, 4, -1).numpy(), np.tri(3, 4, -1))


@given(data=st.data())
def test_diag_and_diagflat_are_numpys_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1, max_dims=2)))
    k = data.draw(st.integers(-3, 3))
    np.testing.assert_array_equal(mg.diag(mg.asarray(x), k).numpy(), np.diag(x, k))
    np.testing.assert_array_equal(mg.diagflat(mg.asarray(x), k).numpy(), np.diagflat(x, k))
    if np.diag(x, k).size:
        assert gradcheck(lambda t: mg.diag(t * t, k), x, order=2)
    assert gradcheck(lambda t: mg.diagflat(t * t, k), x, order=2)


def test_diag_keeps_the_dtype_and_what_is_not_finite_on_the_diagonal() -> None:
    assert mg.diag(mg.tensor([True, False])).dtype == mg.bool
    np.testing.assert_array_equal(mg.diag(mg.tensor([np.inf, np.nan])).numpy(), [[np.inf, 0], [0, np.nan]])


@given(data=st.data())
def test_block_diag_is_scipys_with_derivatives(data: st.DataObject) -> None:
    shapes = data.draw(st.lists(strategies.shapes(max_dims=2), min_size=1, max_size=3))
    blocks = tuple(data.draw(strategies.arrays(shape)) for shape in shapes)
    np.testing.assert_array_equal(mg.block_diag(*blocks).numpy(), linalg.block_diag(*blocks))
    assert gradcheck(lambda *t: mg.block_diag(*(x * x for x in t)), blocks, order=2)


def test_wrong_numbers_of_dimensions_are_named() -> None:
    with pytest.raises(ValueError, match="expected 1 or 2 dimensions, got 3"):
        mg.diag(mg.ones((1, 1, 1)))
    with pytest.raises(ValueError, match="at least 2 dimensions, got 1"):
        mg.tril(mg.ones(3))
    with pytest.raises(ValueError, match="at most 2 dimensions"):
        mg.block_diag(mg.ones((1, 1, 1)))
