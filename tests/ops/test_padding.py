"""Padding, rolling, repeating and windows: the values are NumPy's, repeated elements add up their cotangents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric", "wrap"])
@given(data=st.data())
def test_pad_is_numpys_with_derivatives(mode: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes()))
    width = st.integers(0, 5)
    pairs = st.tuples(width, width)
    # NumPy takes one number, one pair, or a pair for each axis.
    each = st.lists(pairs, min_size=x.ndim, max_size=x.ndim) if x.ndim else pairs
    widths = data.draw(st.one_of(width, pairs, each))
    result, expected = mg.pad(mg.asarray(x), widths, mode), np.pad(x, widths, mode)  # type: ignore[call-overload]
    assert isinstance(result, mg.Tensor)
    np.testing.assert_array_equal(result.numpy(), expected)
    assert gradcheck(lambda t: mg.pad(t * t, widths, mode), x, order=2)


def test_pad_fills_with_the_values_asked_for_exactly() -> None:
    x = np.ones((2, 2))
    for values in (0.1, (0.1, 2), ((0.1, 2), (3, 4))):
        np.testing.assert_array_equal(
            mg.pad(mg.asarray(x), 1, constant_values=values).numpy(), np.pad(x, 1, constant_values=values)
        )
    assert mg.pad(mg.ones(1), 1, constant_values=0.5).dtype == mg.float32


def test_pytorchs_names_of_the_modes_are_known() -> None:
    x = mg.arange(3)
    assert mg.pad(x, 2, "replicate").tolist() == mg.pad(x, 2, "edge").tolist()
    assert mg.pad(x, 2, "circular").tolist() == mg.pad(x, 2, "wrap").tolist()


@given(data=st.data())
def test_roll_is_numpys_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    shift = st.integers(-6, 6)
    axis = st.integers(-x.ndim, x.ndim - 1)
    shifts, axes = data.draw(
        st.one_of(
            st.tuples(shift, st.none()),
            st.tuples(shift, axis),
            st.lists(st.tuples(shift, axis), min_size=1, max_size=3).map(lambda pairs: tuple(zip(*pairs, strict=True))),
            st.tuples(shift, st.lists(axis, max_size=3).map(tuple)),
        )
    )
    np.testing.assert_array_equal(mg.roll(mg.asarray(x), shifts, axis=axes).numpy(), np.roll(x, shifts, axes))
    assert gradcheck(lambda t: mg.roll(t * t, shifts, axis=axes), x, order=2)


@given(data=st.data())
def test_repeat_is_numpys_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    count = x.size if axis is None else x.shape[axis]
    counts = st.lists(st.integers(0, 3), min_size=count, max_size=count)
    repeats = data.draw(st.one_of(st.integers(0, 3), counts, counts.map(mg.asarray)))
    plain = repeats.numpy() if isinstance(repeats, mg.Tensor) else repeats
    result, expected = mg.repeat(mg.asarray(x), repeats, axis=axis), np.repeat(x, plain, axis)
    np.testing.assert_array_equal(result.numpy(), expected)
    assume(expected.size)
    assert gradcheck(lambda t: mg.repeat(t * t, repeats, axis=axis), x, order=2)


@given(data=st.data())
def test_tile_is_numpys_with_derivatives(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes()))
    repetitions = data.draw(st.one_of(st.integers(1, 3), st.lists(st.integers(1, 3), max_size=4).map(tuple)))
    np.testing.assert_array_equal(mg.tile(mg.asarray(x), repetitions).numpy(), np.tile(x, repetitions))
    assert gradcheck(lambda t: mg.tile(t * t, repetitions), x, order=2)


@given(data=st.data())
def test_windows_are_numpys_and_their_overlaps_add_up(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axes = data.draw(st.one_of(st.none(), st.lists(st.integers(-x.ndim, x.ndim - 1), min_size=1, max_size=2)))
    assume(axes is None or len({axis % x.ndim for axis in axes}) == len(axes))
    sizes = [x.shape[axis] for axis in (range(x.ndim) if axes is None else axes)]
    window = tuple(data.draw(st.integers(1, size)) for size in sizes)
    axis = None if axes is None else tuple(axes)
    np.testing.assert_array_equal(
        mg.sliding_window_view(mg.asarray(x), window, axis).numpy(),
        np.lib.stride_tricks.sliding_window_view(x, window, axis),
    )
    assert gradcheck(lambda t: mg.sliding_window_view(t * t, window, axis), x, order=2)


def test_unfold_takes_windows_at_a_distance() -> None:
    x = mg.arange(14).reshape(2, 7)
    assert mg.unfold(x, 1, 3, 2).tolist() == [[[0, 1, 2], [2, 3, 4], [4, 5, 6]], [[7, 8, 9], [9, 10, 11], [11, 12, 13]]]
    assert mg.unfold(mg.tensor(5.0), 0, 1).tolist() == [5]
    assert gradcheck(lambda t: mg.unfold(t * t, -1, 3, 2), np.linspace(0, 1, 14).reshape(2, 7), order=2)


def test_bad_arguments_say_what_is_allowed() -> None:
    x = mg.ones((2, 3))
    with pytest.raises(ValueError, match="mode: expected 'constant' or one of edge"):
        mg.pad(x, 1, "mean")
    with pytest.raises(ValueError, match="negative"):
        mg.pad(x, -1)
    with pytest.raises(ValueError, match="empty axis"):
        mg.pad(mg.ones(0), 1, "edge")
    with pytest.raises(ValueError, match="repeats: expected at least 0"):
        mg.repeat(x, -1)
    with pytest.raises(TypeError, match="repeats: expected integers"):
        mg.repeat(x, 1.5)
    with pytest.raises(ValueError, match="broadcast"):
        mg.repeat(x, [1, 2, 3], axis=0)
    with pytest.raises(ValueError, match="reps: expected at least 0"):
        mg.tile(x, (1, -1))
    with pytest.raises(ValueError, match="window_shape: expected a size for each of the axes"):
        mg.sliding_window_view(x, 4, 1)
    with pytest.raises(ValueError, match="step: expected at least 1"):
        mg.unfold(x, 0, 1, 0)
