"""Sorting, searching and sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies


@given(data=st.data())
def test_sorting_orders_every_dtype_and_keeps_equal_elements_in_theirs(data: st.DataObject) -> None:
    dtype = data.draw(strategies.dtypes())
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1, min_side=0), dtype, 0, 5))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    descending = data.draw(st.booleans())
    order = mg.argsort(mg.asarray(x), axis=axis, descending=descending).numpy()
    result = mg.sort(mg.asarray(x), axis=axis, descending=descending).numpy()
    expected = np.sort(x, axis=axis)
    assert (result.dtype, order.dtype) == (dtype, np.int64)
    np.testing.assert_array_equal(result, np.flip(expected, axis) if descending else expected)
    np.testing.assert_array_equal(np.take_along_axis(x, order, axis), result)
    later, earlier = (np.moveaxis(a, axis, -1) for a in (order, result))
    equal = earlier[..., 1:] == earlier[..., :-1]
    assert (later[..., 1:][equal] > later[..., :-1][equal]).all()


@given(data=st.data())
def test_sorting_and_picking_the_top_are_differentiable_twice(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1), distinct=0.01))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    descending = data.draw(st.booleans())
    assert gradcheck(lambda x: mg.sort(x * x * x, axis=axis, descending=descending), x, order=2)
    k = data.draw(st.integers(1, x.shape[axis]))
    assert gradcheck(lambda x: mg.topk(x * x * x, k, axis=axis, largest=descending).values, x, order=2)


def test_sorting_flattens_without_an_axis_takes_scalars_and_puts_nan_last() -> None:
    x = mg.tensor([[3.0, np.nan], [1.0, 2.0]])
    np.testing.assert_array_equal(mg.sort(x, axis=None).numpy(), [1, 2, 3, np.nan])
    np.testing.assert_array_equal(mg.sort(x, axis=None, descending=True).numpy(), [np.nan, 3, 2, 1])
    assert mg.argsort(x, axis=None).tolist() == [2, 3, 0, 1]
    assert mg.sort(mg.tensor(2.0)).shape == ()
    assert mg.argsort(mg.tensor(2.0)).shape == mg.argsort(mg.tensor(2.0), axis=0).shape == (1,)  # NumPy's


@given(data=st.data())
def test_the_top_are_the_first_of_the_sorted(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1), np.int64, 0, 5))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    largest = data.draw(st.booleans())
    k = data.draw(st.integers(0, x.shape[axis]))
    values, indices = mg.topk(mg.asarray(x), k, axis=axis, largest=largest)
    expected = mg.sort(mg.asarray(x), axis=axis, descending=largest).numpy()
    np.testing.assert_array_equal(values.numpy(), np.take(expected, range(k), axis))
    np.testing.assert_array_equal(np.take_along_axis(x, indices.numpy(), axis), values.numpy())


def test_the_top_cannot_be_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="k: expected 0 to 2"):
        mg.topk(mg.ones(2), 3)


@given(data=st.data())
def test_partitions_put_one_element_in_its_place(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1, max_dims=1), distinct=0.01))
    kth = data.draw(st.integers(0, x.size - 1))
    result = mg.partition(mg.asarray(x), kth).numpy()
    assert result[kth] == np.sort(x)[kth]
    assert (result[:kth] < result[kth]).all() and (result[kth + 1 :] > result[kth]).all()
    assert gradcheck(lambda x: mg.partition(x, kth)[kth] ** 2, x, order=2)


@given(data=st.data())
def test_positions_of_nonzero_elements_are_numpys(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1), np.int64, 0, 2))
    for found, expected in zip(mg.nonzero(mg.asarray(x)), np.nonzero(x), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(mg.argwhere(mg.asarray(x)).numpy(), np.argwhere(x))
    np.testing.assert_array_equal(mg.flatnonzero(mg.asarray(x)).numpy(), np.flatnonzero(x))


@given(data=st.data())
def test_places_in_a_sorted_array_are_numpys(data: st.DataObject) -> None:
    edges = np.sort(data.draw(strategies.arrays(strategies.shapes(min_dims=1, max_dims=1), np.int64, 0, 5)))
    x = data.draw(strategies.arrays(strategies.shapes(), np.int64, 0, 6))
    side = data.draw(st.sampled_from(["left", "right"]))
    result = mg.searchsorted(mg.asarray(edges), mg.asarray(x), side=side)
    assert result.dtype == mg.int64
    np.testing.assert_array_equal(result.numpy(), np.searchsorted(edges, x, side))
    np.testing.assert_array_equal(mg.digitize(x, edges, side == "left").numpy(), np.digitize(x, edges, side == "left"))
    shuffled = edges[::-1].copy()
    order = mg.argsort(shuffled)
    np.testing.assert_array_equal(mg.searchsorted(shuffled, x, side=side, sorter=order).numpy(), result.numpy())


def test_counts_and_weighted_counts_are_numpys_and_the_weights_have_gradients() -> None:
    x, weights = np.array([0, 3, 1, 1]), np.array([0.5, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(mg.bincount(mg.asarray(x), minlength=6).numpy(), np.bincount(x, minlength=6))
    np.testing.assert_array_equal(mg.bincount(x, weights=weights).numpy(), np.bincount(x, weights))
    assert mg.bincount(x, weights=weights.astype(np.float32)).dtype == mg.float32
    assert gradcheck(lambda w: mg.bincount(x, weights=w * w), weights, order=2)


@given(data=st.data())
def test_sets_of_distinct_values_are_numpys(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(), data.draw(strategies.dtypes()), 0, 4))
    everything = mg.unique_all(mg.asarray(x))
    for ours, theirs in zip(everything, np.unique_all(x), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    assert everything.inverse_indices.shape == x.shape
    assert mg.unique_counts(x).counts.tolist() == everything.counts.tolist()
    assert mg.unique_inverse(x).inverse_indices.tolist() == everything.inverse_indices.tolist()
    assert mg.unique_values(x).tolist() == mg.unique(x).tolist() == everything.values.tolist()
    for ours, theirs in zip(mg.unique(x, True, True, True), np.unique(x, True, True, True), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_every_nan_is_distinct_in_the_standards_sets_and_equal_in_numpys() -> None:
    x = mg.tensor([np.nan, 1.0, np.nan])
    assert mg.unique_values(x).shape == mg.unique_all(x).values.shape == (3,)
    assert mg.unique(x).shape == (2,)


def test_membership_is_numpys() -> None:
    x = mg.tensor([[1, 2], [3, 4]])
    assert mg.isin(x, [2, 3]).tolist() == [[False, True], [True, False]]
    assert mg.isin(x, mg.tensor([2, 3]), invert=True).tolist() == [[True, False], [False, True]]
