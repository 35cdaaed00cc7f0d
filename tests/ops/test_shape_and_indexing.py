"""Rearranging and picking elements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.ops.indexing import take_rows
from minigrad.testing import gradcheck, strategies


@given(data=st.data())
def test_rearranging_agrees_with_differences_to_second_order(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axes = data.draw(st.permutations(range(x.ndim)))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    assert axis is not None
    for function in (
        lambda t: mg.permute_dims(t * t, axes),
        lambda t: mg.reshape(t * t, (-1,)),
        lambda t: mg.flip(t * t, axis=axis),
        lambda t: mg.expand_dims(t * t, axis),
        lambda t: mg.broadcast_to(t * t, (2, *t.shape)),
        lambda t: mg.concat([t, t * t], axis=axis),
        lambda t: mg.stack([t, t * t, t], axis=axis),
        lambda t: (t * t).swapaxes(0, axis),
        lambda t: mg.flatten(t * t),
        lambda t: mg.squeeze((t * t)[None], 0),
    ):
        assert gradcheck(function, x, order=2)


@given(data=st.data())
def test_rearranging_gives_numpys_values(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=2, min_side=0)))
    t = mg.asarray(x)
    np.testing.assert_array_equal(t.T.numpy(), x.T)
    np.testing.assert_array_equal(t.mT.numpy(), np.swapaxes(x, -1, -2))
    np.testing.assert_array_equal(mg.concat([t, t], axis=-1).numpy(), np.concatenate([x, x], -1))
    np.testing.assert_array_equal(mg.stack([t, t], axis=1).numpy(), np.stack([x, x], 1))
    np.testing.assert_array_equal(mg.flatten(t).numpy(), x.ravel())
    np.testing.assert_array_equal(mg.tril(t, k=1).numpy(), np.tril(x, 1))


@given(data=st.data())
def test_any_index_picks_numpys_elements_and_sends_their_gradients_back(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    index = data.draw(st.one_of(hnp.basic_indices(x.shape), hnp.integer_array_indices(x.shape)))
    np.testing.assert_array_equal(mg.asarray(x)[index].numpy(), x[index])
    if x[index].size:
        assert gradcheck(lambda t: (t * t)[index], x, order=2)


def test_repeated_indices_add_up() -> None:
    x = mg.zeros(3).requires_grad_()
    x[np.array([0, 0, 2])].sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [2, 0, 1])


@given(data=st.data())
def test_embedding_rows_agree_with_differences_and_repeated_rows_add_up(data: st.DataObject) -> None:
    weight = data.draw(strategies.arrays((5, 3)))
    indices = data.draw(strategies.arrays(strategies.shapes(max_dims=2), np.int64, 0, 4))
    assert gradcheck(lambda w: take_rows(w * w, indices), weight, order=2)


@given(data=st.data())
def test_triangles_agree_with_differences_to_second_order(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=2)))
    k = data.draw(st.integers(-2, 2))
    assert gradcheck(lambda t: mg.tril(t * t, k=k) + 2 * mg.triu(t * t, k=k), x, order=2)
    np.testing.assert_array_equal(mg.triu(mg.asarray(x), k=k).numpy(), np.triu(x, k))


@given(data=st.data())
def test_take_along_axis_agrees_with_differences(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays((3, 4)))
    indices = data.draw(strategies.arrays((3, 5), np.int64, 0, 3))
    assert gradcheck(lambda t: mg.take_along_axis(t * t, indices, 1), x, order=2)


def test_bad_shapes_axes_and_indices_say_what_is_allowed() -> None:
    x = mg.ones((2, 3))
    with pytest.raises(ValueError, match="cannot reshape"):
        x.reshape(4, 2)
    with pytest.raises(np.exceptions.AxisError):
        x.sum(axis=2)
    with pytest.raises(IndexError, match="expected 0 to 1, got 0 to 2"):
        take_rows(x, [0, 2])
    with pytest.raises(TypeError, match="expected integers"):
        take_rows(x, [0.5])
    with pytest.raises(ValueError, match=r"indices: expected the shape \(2, 3\) but for axis 1"):
        mg.take_along_axis(x, np.zeros((1, 2), np.int64), 1)
    with pytest.raises(ValueError, match="at least one"):
        mg.stack([])
    with pytest.raises(TypeError, match="several values for axis"):
        mg.sum(x, 0, axis=1)
    assert x[[]].shape == (0, 3)
