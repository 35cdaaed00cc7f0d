"""Rearranging elements: the values are NumPy's, the results views where they can be, the derivatives exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.testing import gradcheck, strategies

Draw = Callable[[Any], Any]


def _one_axis(draw: Draw, x: Any) -> dict[str, Any]:
    return {"axis": draw(st.integers(-x.ndim, x.ndim - 1))}


def _any_axes(draw: Draw, x: Any) -> dict[str, Any]:
    return {"axis": draw(strategies.axes(x.ndim))}


def _new_axes(draw: Draw, x: Any) -> dict[str, Any]:
    count = draw(st.integers(1, 2))
    return {"axis": draw(hnp.valid_tuple_axes(x.ndim + count, min_size=count, max_size=count))}


def _order(draw: Draw, x: Any) -> dict[str, Any]:
    order = draw(st.permutations(range(x.ndim)))
    return {"axes": tuple(axis - x.ndim * draw(st.booleans()) for axis in order)}


def _turn(draw: Draw, x: Any) -> dict[str, Any]:
    axes = draw(hnp.valid_tuple_axes(x.ndim, min_size=2, max_size=2))
    return {"k": draw(st.integers(-5, 5)), "axes": axes}


def _nothing(draw: Draw, x: Any) -> dict[str, Any]:
    return {}


# name → (NumPy's function, the least number of dimensions, arguments beside the array)
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, Callable[[Draw, Any], dict[str, Any]]]] = {
    "permute_dims": (np.transpose, 0, _order),
    "transpose": (np.transpose, 0, _nothing),
    "matrix_transpose": (np.matrix_transpose, 2, _nothing),
    "flip": (np.flip, 0, _any_axes),
    "fliplr": (np.fliplr, 2, _nothing),
    "flipud": (np.flipud, 1, _nothing),
    "rot90": (np.rot90, 2, _turn),
    "expand_dims": (np.expand_dims, 0, _new_axes),
    "squeeze": (np.squeeze, 0, _nothing),
    "flatten": (np.ravel, 0, _nothing),
    "ravel": (np.ravel, 0, _nothing),
    "atleast_1d": (np.atleast_1d, 0, _nothing),
    "atleast_2d": (np.atleast_2d, 0, _nothing),
    "atleast_3d": (np.atleast_3d, 0, _nothing),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_values_are_numpys_for_every_shape_dtype_and_layout(name: str, data: st.DataObject) -> None:
    reference, ndim, arguments = FUNCTIONS[name]
    shapes = strategies.shapes(min_dims=ndim, max_dims=4, min_side=0)
    x = data.draw(strategies.arrays(shapes, data.draw(strategies.dtypes())))
    given_ = arguments(data.draw, x)
    result, expected = getattr(mg, name)(mg.asarray(x), **given_), reference(x, **given_)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_derivatives_agree_with_differences_to_second_order(name: str, data: st.DataObject) -> None:
    _, ndim, arguments = FUNCTIONS[name]
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=ndim)))
    given_ = arguments(data.draw, x)
    assert gradcheck(lambda t: getattr(mg, name)(t * t, **given_), x, order=2)


@given(data=st.data())
def test_swapaxes_and_moveaxis_are_numpys_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1, max_dims=4)))
    a, b = (data.draw(st.integers(-x.ndim, x.ndim - 1)) for _ in range(2))
    count = data.draw(st.integers(0, x.ndim))
    source, to = (data.draw(hnp.valid_tuple_axes(x.ndim, min_size=count, max_size=count)) for _ in range(2))
    t = mg.asarray(x)
    np.testing.assert_array_equal(mg.swapaxes(t, a, b).numpy(), np.swapaxes(x, a, b))
    np.testing.assert_array_equal(mg.moveaxis(t, a, b).numpy(), np.moveaxis(x, a, b))
    np.testing.assert_array_equal(mg.moveaxis(t, source, to).numpy(), np.moveaxis(x, source, to))
    start = data.draw(st.integers(-x.ndim, x.ndim))
    np.testing.assert_array_equal(mg.rollaxis(t, a, start).numpy(), np.rollaxis(x, a, start))
    assert gradcheck(lambda t: mg.moveaxis(mg.swapaxes(t * t, a, b), source, to), x, order=2)


@given(data=st.data())
def test_reshape_is_numpys_with_derivatives_also_where_a_size_is_inferred(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays((2, 3, 4)))
    shape = data.draw(st.sampled_from([(24,), (-1,), (4, -1), (-1, 12), (2, 1, 12), (1, 24, 1), -1, 24]))
    np.testing.assert_array_equal(mg.reshape(mg.asarray(x), shape).numpy(), np.reshape(x, shape))
    assert gradcheck(lambda t: mg.reshape(t * t, shape), x, order=2)


@given(data=st.data())
def test_broadcasting_is_numpys_with_derivatives(data: st.DataObject) -> None:
    shapes = data.draw(strategies.broadcasting_shapes())
    a, b = (data.draw(strategies.arrays(shape)) for shape in shapes)
    results, expected = mg.broadcast_arrays(mg.asarray(a), b), np.broadcast_arrays(a, b)
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result.numpy(), wanted)
    assert mg.broadcast_shapes(*shapes) == expected[0].shape
    assert gradcheck(lambda s, t: mg.broadcast_arrays(s * s, t), (a, b), order=2)
    assert gradcheck(lambda t: mg.broadcast_to(t * t, (2, *t.shape)), a, order=2)


def test_flatten_merges_a_range_of_axes() -> None:
    x = mg.zeros((2, 3, 4, 5))
    assert mg.flatten(x, 1, 2).shape == (2, 12, 5)
    assert mg.flatten(x, -2).shape == (2, 3, 20)
    assert mg.flatten(mg.zeros(())).shape == (1,)


def test_reshape_copies_as_asked() -> None:
    x = mg.arange(6)
    assert np.shares_memory(mg.reshape(x, (2, 3)).numpy(), x.numpy())
    assert np.shares_memory(mg.reshape(x, (2, 3), copy=False).numpy(), x.numpy())
    assert not np.shares_memory(mg.reshape(x, (2, 3), copy=True).numpy(), x.numpy())
    with pytest.raises(ValueError, match="copy"):
        mg.reshape(mg.reshape(x, (2, 3)).T, (6,), copy=False)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: mg.permute_dims(x, (1, 0)),
        mg.flip,
        mg.ravel,
        mg.transpose,
        lambda x: mg.expand_dims(x, 0),
        lambda x: mg.broadcast_to(x, (2, 2, 3)),
        lambda x: mg.unstack(x)[1],
        lambda x: mg.split(x, 2)[0],
        lambda x: mg.sliding_window_view(x, 2, 0),
        lambda x: x[1:, ::-1],
    ],
)
def test_views_share_the_memory_and_the_version_of_their_origin(view: Callable[[mg.Tensor], mg.Tensor]) -> None:
    x = mg.ones((2, 3))
    y = view(x)
    assert np.shares_memory(x.numpy(), y.numpy())
    assert y.storage is x.storage


def test_numbers_and_nested_lists_are_arrays_too() -> None:
    assert mg.reshape([[1.0, 2.0]], (2,)).dtype == mg.float32
    assert mg.flip([1, 2]).tolist() == [2, 1]
    assert mg.transpose([[1, 2]]).shape == (2, 1)


def test_bad_shapes_and_axes_say_what_is_allowed() -> None:
    x = mg.ones((2, 3))
    with pytest.raises(ValueError, match="cannot reshape"):
        mg.reshape(x, (4, 2))
    for call in (
        lambda: mg.expand_dims(x, 4),
        lambda: mg.flip(x, axis=2),
        lambda: mg.squeeze(x, -3),
        lambda: mg.swapaxes(x, 0, 2),
        lambda: mg.moveaxis(x, 2, 0),
        lambda: mg.flatten(x, 2),
    ):
        with pytest.raises(IndexError, match="out of bounds"):
            call()
    with pytest.raises(ValueError, match="size not equal to one"):
        mg.squeeze(x, 0)
    with pytest.raises(ValueError, match="repeated axis"):
        mg.moveaxis(x, (0, 0), (0, 1))
    with pytest.raises(ValueError, match="destination: expected 2 axes"):
        mg.moveaxis(x, (0, 1), 0)
    with pytest.raises(ValueError, match="axes don't match"):
        mg.permute_dims(x, (0,))
    with pytest.raises(ValueError, match="at least 2 dimensions, got 1"):
        mg.matrix_transpose(mg.ones(2))
    with pytest.raises(ValueError, match="axes: expected two"):
        mg.rot90(x, axes=(0,))
    with pytest.raises(ValueError, match="repeated axis"):
        mg.rot90(x, axes=(0, -2))
