"""Joining and splitting: the values are NumPy's, and cotangents are split and joined in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies

STACKS = {"hstack": np.hstack, "vstack": np.vstack, "dstack": np.dstack, "column_stack": np.column_stack}
SPLITS = {"hsplit": (np.hsplit, 1), "vsplit": (np.vsplit, 2), "dsplit": (np.dsplit, 3)}


def _differing_along(axis: int, shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


@given(data=st.data())
def test_concat_is_numpys_with_derivatives(data: st.DataObject) -> None:
    shape = data.draw(strategies.shapes(min_dims=1))
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    arrays = [data.draw(strategies.arrays(_differing_along(axis, shape, size))) for size in sizes]
    named = data.draw(st.sampled_from([axis, axis - len(shape), None]))
    np.testing.assert_array_equal(mg.concat(arrays, axis=named).numpy(), np.concatenate(arrays, named))
    if sum(sizes):
        assert gradcheck(lambda *t: mg.concat([x * x for x in t], axis=named), tuple(arrays), order=2)


@given(data=st.data())
def test_stack_is_numpys_with_derivatives_and_unstack_undoes_it(data: st.DataObject) -> None:
    shape = data.draw(strategies.shapes())
    arrays = [data.draw(strategies.arrays(shape)) for _ in range(data.draw(st.integers(1, 3)))]
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    result = mg.stack(arrays, axis=axis)
    np.testing.assert_array_equal(result.numpy(), np.stack(arrays, axis))
    for part, x in zip(mg.unstack(result, axis=axis), arrays, strict=True):
        np.testing.assert_array_equal(part.numpy(), x)
    assert gradcheck(lambda *t: mg.stack([x * x for x in t], axis=axis), tuple(arrays), order=2)
    assert gradcheck(lambda t: mg.unstack(t * t, axis=axis), np.stack(arrays, axis), order=2)


@pytest.mark.parametrize("name", STACKS)
@given(data=st.data())
def test_named_stacks_are_numpys_with_derivatives(name: str, data: st.DataObject) -> None:
    shape = data.draw(strategies.shapes())
    arrays = [data.draw(strategies.arrays(shape)) for _ in range(data.draw(st.integers(1, 3)))]
    np.testing.assert_array_equal(getattr(mg, name)(arrays).numpy(), STACKS[name](arrays))
    assert gradcheck(lambda *t: getattr(mg, name)([x * x for x in t]), tuple(arrays), order=2)


@given(data=st.data())
def test_array_split_is_numpys_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1, max_side=6)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    places = st.lists(st.integers(0, 7), max_size=3).map(sorted)
    where = data.draw(st.one_of(st.integers(1, 5), places))
    for piece, expected in zip(
        mg.array_split(mg.asarray(x), where, axis=axis), np.array_split(x, where, axis), strict=True
    ):
        np.testing.assert_array_equal(piece.numpy(), expected)
    assert gradcheck(lambda t: mg.array_split(t * t, where, axis=axis), x, order=2)


@pytest.mark.parametrize("name", SPLITS)
def test_named_splits_are_numpys(name: str, rng: np.random.Generator) -> None:
    reference, least = SPLITS[name]
    for ndim in range(least, 5):
        x = rng.normal(size=(4, 4, 4, 4)[:ndim])
        for where in (2, [1], [0, 3]):
            for piece, expected in zip(getattr(mg, name)(mg.asarray(x), where), reference(x, where), strict=True):
                np.testing.assert_array_equal(piece.numpy(), expected)


def test_a_piece_that_is_not_used_has_a_gradient_of_zeros() -> None:
    x = mg.ones(4).requires_grad_()
    mg.split(x, 2)[1].sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1, 1]


def test_unstacking_many_rows_takes_linear_memory_in_the_derivative() -> None:
    x = mg.ones((300, 300)).requires_grad_()
    total = mg.tensor(0.0)
    for row in mg.unstack(x):
        total = total + row.sum()
    total.backward()
    assert x.grad is not None
    assert x.grad.numpy().min() == x.grad.numpy().max() == 1


def test_dtypes_are_promoted() -> None:
    ints, floats, doubles = mg.ones(1, dtype=mg.int64), mg.ones(1), mg.ones(1, dtype=mg.float64)
    assert mg.concat([ints, floats]).dtype == mg.float32
    assert mg.concat([floats, doubles]).dtype == mg.float64
    assert mg.stack([mg.ones(1, dtype=mg.int8), mg.ones(1, dtype=mg.uint8)]).dtype == mg.int16
    a, b = floats.requires_grad_(), doubles.requires_grad_()
    mg.concat([a, b]).sum().backward()
    assert a.grad is not None and b.grad is not None
    assert (a.grad.dtype, b.grad.dtype) == (mg.float32, mg.float64)


def test_append_flattens_unless_an_axis_is_given() -> None:
    x = mg.ones((2, 2))
    assert mg.append(x, [3.0]).shape == (5,)
    assert mg.append(x, mg.zeros((1, 2)), axis=0).shape == (3, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mg.stack([]), "at least one"),
        (lambda: mg.stack([mg.ones(2), mg.ones(3)]), "all of one shape"),
        (lambda: mg.concat([]), "at least one array"),
        (lambda: mg.concat([mg.ones(2), mg.ones((2, 2))]), "same number of dimensions"),
        (lambda: mg.split(mg.ones(3), 2), "do not split evenly into 2"),
        (lambda: mg.array_split(mg.ones(3), 0), "expected at least 1, got 0"),
        (lambda: mg.array_split(mg.ones(3), [2, 1]), "ascending"),
        (lambda: mg.vsplit(mg.ones(3), 3), "at least 2 dimensions, got 1"),
        (lambda: mg.dsplit(mg.ones((3, 3)), 3), "at least 3 dimensions, got 2"),
    ],
)
def test_invalid_joins_and_splits_are_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
