"""Indexing: NumPy's elements for every index; where indices repeat, gradients add up and the last write counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.nn import functional as F
from minigrad.ops.indexing import setitem
from minigrad.testing import gradcheck, strategies

SHAPES = strategies.shapes(max_dims=4)


@st.composite
def indices(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """An index with any of the parts that NumPy knows; its arrays as arrays, lists or tensors."""
    together = draw(strategies.shapes(max_dims=2, max_side=3))
    parts: list[Any] = []
    axis = 0
    while axis < len(shape):
        size = shape[axis]
        kinds = ["int", "slice", "array", "array", "mask", "new", "all or nothing", "rest", "stop"]
        kind = draw(st.sampled_from(kinds))
        if kind == "int":
            parts.append(draw(st.integers(-size, size - 1)))
        elif kind == "slice":
            parts.append(draw(st.slices(size)))
        elif kind == "array":
            picked = draw(st.sampled_from([together, (), (1,) * len(together)]))
            parts.append(_in_some_form(draw, draw(hnp.arrays(np.int64, picked, elements=st.integers(-size, size - 1)))))
        elif kind == "mask":
            axes = draw(st.integers(1, min(2, len(shape) - axis)))
            parts.append(_in_some_form(draw, draw(hnp.arrays(np.bool_, shape[axis : axis + axes]))))
            axis += axes - 1
        elif kind == "new":
            parts.append(None)
        elif kind == "all or nothing":
            parts.append(_in_some_form(draw, np.asarray(draw(st.booleans()))))
        elif kind == "rest" and not any(part is ... for part in parts):
            parts.append(...)
            axis += draw(st.integers(0, len(shape) - axis))
        elif kind == "stop":
            break
        axis += kind not in ("new", "all or nothing", "rest")
    return parts[0] if len(parts) == 1 and draw(st.booleans()) else tuple(parts)


def _in_some_form(draw: st.DrawFn, array: Any) -> Any:
    return draw(st.sampled_from([array, mg.asarray(array), array.tolist()]))


def _numpys(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_numpys(part) for part in index)
    return index.numpy() if isinstance(index, mg.Tensor) else index


@given(data=st.data())
def test_any_index_picks_numpys_elements_and_repeated_ones_add_up_their_gradients(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(SHAPES))
    index = data.draw(indices(x.shape))
    try:
        expected = np.asarray(x[_numpys(index)])
    except IndexError:
        with pytest.raises(IndexError):
            mg.asarray(x)[index]
        return
    t = mg.tensor(x, requires_grad=True)
    result = t[index]
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result.detach().numpy(), expected)
    g = np.arange(1.0, expected.size + 1).reshape(expected.shape)
    result.backward(g)
    gradient = np.zeros_like(x)
    np.add.at(gradient, _numpys(index), g)
    assert t.grad is not None
    np.testing.assert_array_equal(t.grad.numpy(), gradient)
    if expected.size:
        assert gradcheck(lambda t: (t * t)[index], x, order=2)


@given(data=st.data())
def test_writing_gives_numpys_values_and_exact_gradients(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(SHAPES))
    index = data.draw(indices(x.shape))
    plain = _numpys(index)
    try:
        picked = np.asarray(x[plain])
    except IndexError:
        assume(False)
    shapes = [picked.shape, picked.shape[1:], (), (1, *picked.shape) if picked.ndim else ()]
    value = data.draw(strategies.arrays(data.draw(st.sampled_from(shapes))))
    expected, writer = x.copy(), np.full(x.shape, -1)
    expected[plain] = value
    # Which element of the value each element of the result is: the last that was written there.
    writer[plain] = np.arange(value.size).reshape(value.shape)
    s, t = mg.tensor(x, requires_grad=True), mg.tensor(value, requires_grad=True)
    result = setitem(s, index, t)
    np.testing.assert_array_equal(result.detach().numpy(), expected)
    np.testing.assert_array_equal(s.detach().numpy(), x)
    g = np.arange(1.0, x.size + 1).reshape(x.shape)
    result.backward(g)
    assert s.grad is not None and t.grad is not None
    np.testing.assert_array_equal(s.grad.numpy(), np.where(writer < 0, g, 0))
    np.testing.assert_array_equal(
        t.grad.numpy().ravel(), np.bincount(writer[writer >= 0], g[writer >= 0], minlength=value.size)
    )
    assert gradcheck(lambda s, t: setitem(s * s, index, t * t), (x, value), order=2)


def test_a_0_d_tensor_picks_as_a_number_does() -> None:
    x = mg.arange(6).reshape(2, 3)
    assert x[mg.tensor(1)].tolist() == [3, 4, 5]
    assert x[mg.tensor(1), :2].tolist() == [3, 4]
    assert x[:, mg.tensor(-1)].tolist() == [2, 5]
    assert x[mg.tensor([1, 0], dtype=mg.uint8), mg.tensor(2)].tolist() == [5, 2]


def test_masks_with_axes_of_size_0_pick_nothing() -> None:
    x = mg.ones((2, 3))
    assert x[np.zeros((0,), bool)].shape == (0, 3)
    assert x[np.zeros((2, 0), bool)].shape == (0,)
    assert x[[]].shape == (0, 3)


@pytest.mark.parametrize(
    "index",
    [
        *((5,), (0, 0, 0), ([0, 5],), ([0, -3],), ([0], [7]), ([0, 1], [0, 1, 2]), (..., [0], ...)),
        *(np.ones(3, bool), np.ones((2, 2), bool), 1.5, [0.5], (np.ones((2, 3, 1), bool),), ([0], [0], [0])),
    ],
    ids=str,
)
def test_invalid_indices_are_index_errors_as_in_numpy(index: Any) -> None:
    x = np.ones((2, 3))
    with pytest.raises(IndexError):
        x[index]
    with pytest.raises(IndexError):
        mg.asarray(x)[index]


def test_writing_casts_to_the_dtype_and_refuses_what_does_not_fit() -> None:
    x = mg.zeros(3, dtype=mg.int8)
    assert setitem(x, 0, 2.7).tolist() == [2, 0, 0]
    assert setitem(x, slice(2), mg.tensor([1.5, 2.5])).dtype == mg.int8
    assert setitem(x, mg.tensor([True, False, True]), 7).tolist() == [7, 0, 7]
    with pytest.raises(OverflowError):
        setitem(x, 0, 300)
    with pytest.raises(ValueError, match="broadcast"):
        setitem(x, slice(2), mg.ones(3))
    with pytest.raises(IndexError):
        setitem(x, 3, 1)


# Along one axis


@given(data=st.data())
def test_take_is_numpys_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    size = x.size if axis is None else x.shape[axis]
    picked = data.draw(hnp.arrays(np.int64, strategies.shapes(max_dims=2), elements=st.integers(-size, size - 1)))
    for form in (picked, mg.asarray(picked), picked.astype(np.int32), picked.tolist()):
        np.testing.assert_array_equal(mg.take(mg.asarray(x), form, axis=axis).numpy(), np.take(x, picked, axis))
    assert gradcheck(lambda t: mg.take(t * t, picked, axis=axis), x, order=2)


@pytest.mark.parametrize(
    ("shape", "index_shape", "axis"),
    [
        *(((2, 3), (2, 4), -1), ((3, 4), (3, 1), 1), ((3, 1), (1, 2), 1), ((3, 1, 2), (3, 5, 1), 0)),
        *(((2, 3), (4, 1), 0), ((4,), (1,), 0), ((2, 3), (2, 0), 1)),
    ],
)
def test_take_along_axis_is_numpys_with_derivatives_also_where_shapes_broadcast(
    shape: tuple[int, ...], index_shape: tuple[int, ...], axis: int
) -> None:
    rng = np.random.default_rng(0)
    x, picked = rng.normal(size=shape), rng.integers(-shape[axis], shape[axis], index_shape)
    expected = np.take_along_axis(x, picked, axis)
    np.testing.assert_array_equal(mg.take_along_axis(mg.asarray(x), mg.asarray(picked), axis=axis).numpy(), expected)
    if expected.size:
        assert gradcheck(lambda t: mg.take_along_axis(t * t, picked, axis=axis), x, order=2)


def test_float32_stays_float32_in_the_gradients_of_every_way_to_pick() -> None:
    for pick in (
        lambda t: t[1:],
        lambda t: t[[0, 0]],
        lambda t: t[t > 0],
        lambda t: mg.take(t, [1], axis=0),
        lambda t: mg.take_along_axis(t, [[0], [0]], axis=0),
        lambda t: F.embedding([0, 1], t),
        lambda t: setitem(t, 0, 1.0),
        lambda t: setitem(t, [0, 0], 1.0),
    ):
        x = mg.ones((2, 1)).requires_grad_()
        pick(x).sum().backward()
        assert x.grad is not None and x.grad.dtype == mg.float32


def test_an_index_array_changed_later_does_not_change_the_gradient() -> None:
    x = mg.ones(3).requires_grad_()
    index = np.array([0, 0])
    y = x[index]
    index[:] = 2
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: mg.take(x, [0.5]), TypeError, "indices: expected integers"),
        (lambda x: mg.take(x, [2], axis=0), IndexError, "out of bounds"),
        (lambda x: mg.take(x, [0], axis=2), IndexError, "out of bounds"),
        (lambda x: mg.take_along_axis(x, [[2]], axis=0), IndexError, "out of bounds"),
        (
            lambda x: mg.take_along_axis(x, [0], axis=0),
            ValueError,
            r"indices: expected the shape \(2, 3\) but for axis 0",
        ),
        (lambda x: mg.take_along_axis(x, np.zeros((3, 2), int), axis=1), ValueError, r"but for axis 1, got \(3, 2\)"),
        (lambda x: mg.take_along_axis(x, [[0.5]], axis=0), TypeError, "indices: expected integers"),
    ],
)
def test_bad_indices_say_what_is_allowed(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(mg.ones((2, 3)))
