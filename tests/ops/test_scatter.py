"""Values put at indices: NumPy's and PyTorch's results, exact derivatives where indices repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing import gradcheck, strategies


def _index(data: st.DataObject, shape: tuple[int, ...], axis: int) -> Any:
    """Integers along ``axis``, no more of them than ``shape`` has along the others."""
    smaller = tuple(data.draw(st.integers(1, size if a != axis else 5)) for a, size in enumerate(shape))
    return data.draw(hnp.arrays(np.int64, smaller, elements=st.integers(0, shape[axis] - 1)))


def _places(index: Any, axis: int) -> Any:
    """Position in an array of each element of an index, one by one."""
    for place in np.ndindex(index.shape):
        yield place, (*place[:axis], int(index[place]), *place[axis + 1 :])


@given(data=st.data())
def test_gather_picks_along_an_axis_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(st.integers(0, x.ndim - 1))
    index = _index(data, x.shape, axis)
    expected = np.zeros(index.shape)
    for place, target in _places(index, axis):
        expected[place] = x[target]
    np.testing.assert_array_equal(mg.gather(mg.asarray(x), axis, mg.asarray(index)).numpy(), expected)
    assert gradcheck(lambda t: mg.gather(t * t, axis - x.ndim, index), x, order=2)


@given(data=st.data())
def test_scatter_writes_and_scatter_add_adds_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(st.integers(0, x.ndim - 1))
    index = _index(data, x.shape, axis)
    src = data.draw(strategies.arrays(tuple(size + data.draw(st.integers(0, 1)) for size in index.shape)))
    written, added = x.copy(), x.copy()
    for place, target in _places(index, axis):
        written[target] = src[place]
        added[target] += src[place]
    np.testing.assert_array_equal(mg.scatter(mg.asarray(x), axis, index, src).numpy(), written)
    np.testing.assert_allclose(mg.scatter_add(x, axis, mg.asarray(index), mg.asarray(src)).numpy(), added)
    assert gradcheck(lambda t, s: mg.scatter(t * t, axis, index, s * s), (x, src), order=2)
    assert gradcheck(lambda t, s: mg.scatter_add(t * t, axis, index, s * s), (x, src), order=2)


@given(data=st.data())
def test_put_along_axis_is_numpys_on_a_copy_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    shape = tuple(data.draw(st.sampled_from([1, size])) for size in x.shape)
    index = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-x.shape[axis], x.shape[axis] - 1)))
    value = data.draw(strategies.arrays(data.draw(st.sampled_from([(), np.take_along_axis(x, index, axis).shape]))))
    expected = x.copy()
    np.put_along_axis(expected, index, value, axis)
    before = x.copy()
    np.testing.assert_array_equal(mg.put_along_axis(mg.asarray(x), index, value, axis=axis).numpy(), expected)
    np.testing.assert_array_equal(x, before)
    assert gradcheck(lambda t, v: mg.put_along_axis(t * t, index, v * v, axis=axis), (x, value), order=2)


@given(data=st.data())
def test_index_add_fill_and_select_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    size = x.shape[axis]
    index = data.draw(hnp.arrays(np.int64, st.integers(0, 4), elements=st.integers(0, size - 1)))
    before = (slice(None),) * (axis % x.ndim)
    source = data.draw(strategies.arrays(x[(*before, index)].shape))
    added, filled = x.copy(), x.copy()
    np.add.at(added, (*before, index), 0.5 * source)
    filled[(*before, index)] = 7
    np.testing.assert_allclose(mg.index_add(x, axis, index, source, alpha=0.5).numpy(), added)
    np.testing.assert_array_equal(mg.index_fill(x, axis, index, 7).numpy(), filled)
    np.testing.assert_array_equal(mg.index_select(x, axis, index).numpy(), np.take(x, index, axis))
    assert gradcheck(lambda t, s: mg.index_add(t * t, axis, index, s * s, alpha=0.5), (x, source), order=2)
    assert gradcheck(lambda t: mg.index_fill(t * t, axis, index, 7.0), x, order=2)


@given(data=st.data())
def test_masks_fill_and_select_under_broadcasting_with_derivatives(data: st.DataObject) -> None:
    shapes = data.draw(strategies.broadcasting_shapes())
    x, mask = data.draw(strategies.arrays(shapes[0])), data.draw(strategies.arrays(shapes[1], np.bool_))
    np.testing.assert_array_equal(mg.masked_fill(x, mask, 7).numpy(), np.where(mask, 7, x))
    wide, wide_mask = np.broadcast_arrays(x, mask)
    np.testing.assert_array_equal(mg.masked_select(x, mg.asarray(mask)).numpy(), wide[wide_mask])
    assert gradcheck(lambda t, v: mg.masked_fill(t * t, mask, v * v), (x, np.asarray(0.5)), order=2)
    if mask.any():
        assert gradcheck(lambda t: mg.masked_select(t * t, mask), x, order=2)


def test_the_dtype_is_that_of_the_array_written_to() -> None:
    x, double = mg.ones(2), mg.tensor(2.0, dtype=mg.float64)
    assert mg.masked_fill(x, [True, False], double).dtype == mg.float32
    assert mg.put_along_axis(x, [0], double, axis=0).dtype == mg.float32
    assert mg.scatter(x, 0, [0], double).dtype == mg.float32
    assert mg.index_fill(mg.ones(2, dtype=mg.int64), 0, [0], 5).tolist() == [5, 1]
    assert mg.scatter_add(mg.zeros(2, dtype=mg.int64), 0, [1, 1], mg.tensor([2, 3])).tolist() == [0, 5]


def test_numbers_are_arrays_of_one_element_as_in_pytorch() -> None:
    x = mg.tensor(1.0)
    assert mg.gather(x, 0, mg.tensor(0)).shape == ()
    assert mg.scatter(x, 0, mg.tensor(0), mg.tensor(5.0)).item() == 5
    assert mg.index_add(x, 0, mg.tensor([0]), mg.tensor([2.0])).item() == 3
    assert mg.index_select(x, 0, mg.tensor([0])).shape == ()
    assert mg.gather(mg.ones(5), 0, np.zeros((2, 0), np.int64)).shape == (2, 0)


def test_one_hot_marks_each_index() -> None:
    index = np.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(mg.one_hot(index, 4).numpy(), np.eye(4, dtype=np.int64)[index])
    assert mg.one_hot(index).shape == (2, 2, 3)
    assert mg.one_hot(mg.tensor(1), 2, dtype=mg.float32).tolist() == [0, 1]
    assert mg.one_hot([]).shape == (0, 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: mg.gather(x, 1, [[0, 0, 3]]), IndexError, "out of bounds"),
        (lambda x: mg.gather(x, 1, np.zeros((3, 1), int)), ValueError, r"within that of x, \(2, 3\), but for axis 1"),
        (lambda x: mg.gather(x, 1, [0]), ValueError, "index: expected a shape within that of x"),
        (lambda x: mg.gather(x, 1, [[0.5]]), TypeError, "expected integers"),
        (
            lambda x: mg.scatter(x, 1, [[0, 0]], mg.ones((1, 1))),
            ValueError,
            r"within that of src, \(1, 1\), got \(1, 2\)",
        ),
        (lambda x: mg.index_add(x, 0, [0], mg.ones((2, 3))), ValueError, r"source: expected the shape \(1, 3\)"),
        (lambda x: mg.index_add(x, 0, [[0]], mg.ones((1, 1, 3))), ValueError, "index of one axis"),
        (lambda x: mg.index_add(x, 0, [2], mg.ones((1, 3))), IndexError, "indices must be in"),
        (lambda x: mg.masked_fill(x, [1, 0, 1], 0.0), TypeError, "mask: expected booleans, got int64"),
        (lambda x: mg.masked_fill(x, x > 0, [1.0, 2.0]), ValueError, "value: expected one number"),
        (lambda x: mg.masked_select(x, x), TypeError, "mask: expected booleans"),
        (lambda x: mg.one_hot([3], 3), IndexError, "indices: expected 0 to 2, got 3 to 3"),
        (lambda x: mg.one_hot([-1], 3), IndexError, "expected 0 to 2"),
        (lambda x: mg.one_hot([0.5], 3), TypeError, "indices: expected integers"),
    ],
)
def test_bad_arguments_say_what_is_allowed(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(mg.ones((2, 3)))
