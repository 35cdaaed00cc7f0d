"""Embedding: rows by index, their gradients, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.testing import gradcheck, strategies


@given(data=st.data())
def test_embedding_rows_agree_with_differences_and_repeated_rows_add_up(data: st.DataObject) -> None:
    weight = data.draw(strategies.arrays((5, 3)))
    rows = data.draw(strategies.arrays(strategies.shapes(max_dims=2), np.int64, 0, 4))
    np.testing.assert_array_equal(F.embedding(rows, weight).numpy(), weight[rows])
    assert gradcheck(lambda w: F.embedding(rows, w * w), weight, order=2)


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0, 2], IndexError, "input: expected 0 to 1, got 0 to 2"),
        ([-1], IndexError, "input: expected 0 to 1, got -1 to -1"),
        ([0.5], TypeError, "input: expected integers, got float32"),
    ],
)
def test_what_does_not_fit_is_named(indices: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        F.embedding(indices, mg.ones((2, 3)))
