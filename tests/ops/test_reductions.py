"""Reductions over any axes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies

SMOOTH = ("sum", "mean", "logsumexp", "max", "min")


@pytest.mark.parametrize("name", SMOOTH)
@given(data=st.data())
def test_derivatives_agree_with_differences_to_second_order_over_any_axes(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(), low=-3, high=3, distinct=0.01))
    axis = data.draw(strategies.axes(x.ndim))
    keepdims = data.draw(st.booleans())
    function = getattr(mg, name)
    assert gradcheck(lambda t: function(t * t * t, axis=axis, keepdims=keepdims), x, order=2)


@given(data=st.data())
def test_variance_and_cumulative_sum_agree_with_differences(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1, min_side=2)))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    assert gradcheck(lambda t: mg.var(t, axis=axis, correction=1), x, order=2)
    assert gradcheck(lambda t: mg.cumsum(t * t, axis=axis), x, order=2)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "any", "all"])
@given(data=st.data())
def test_values_and_shapes_are_numpys(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes()))
    axis = data.draw(strategies.axes(x.ndim))
    keepdims = data.draw(st.booleans())
    x = x > 0 if name in ("any", "all") else x
    result = getattr(mg, name)(mg.asarray(x), axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(result.numpy(), getattr(np, name)(x, axis=axis, keepdims=keepdims))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(data=st.data())
def test_positions_of_extremes_are_numpys(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes()))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    np.testing.assert_array_equal(getattr(mg, name)(mg.asarray(x), axis=axis).numpy(), getattr(np, name)(x, axis=axis))


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_gradient_evenly(name: str) -> None:
    x = mg.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]], requires_grad=True)
    getattr(x if name == "max" else x * -1, name)(axis=1).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(np.abs(x.grad.numpy()), [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_logsumexp_of_extremes() -> None:
    assert mg.logsumexp(mg.tensor([1000.0, 1000.0])).item() == pytest.approx(1000 + np.log(2))
    with np.errstate(divide="ignore"):
        assert mg.logsumexp(mg.tensor([-np.inf, -np.inf])).item() == -np.inf


def test_float32_stays_float32() -> None:
    x = mg.ones((2, 3)).requires_grad_()
    for result in (x.sum(), x.mean(), x.var(), x.max(axis=0), mg.logsumexp(x, axis=1)):
        assert result.dtype == mg.float32
    assert mg.ones(3, dtype=mg.int32).mean().dtype == mg.float32
