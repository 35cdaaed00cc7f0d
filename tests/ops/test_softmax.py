"""Softmax and log-softmax: derivatives, and rows with nothing to choose from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies


@pytest.mark.parametrize("function", [mg.softmax, mg.log_softmax])
@given(data=st.data())
def test_softmax_derivatives_agree_with_differences_to_second_order(function: object, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1)))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    assert gradcheck(lambda t: function(t, axis=axis), x, order=2)


def test_a_row_with_nothing_to_choose_from_gives_zeros_and_zero_gradient() -> None:
    x = mg.tensor([[-np.inf, -np.inf], [0.0, -np.inf]], requires_grad=True)
    y = mg.softmax(x)
    np.testing.assert_array_equal(y.detach().numpy(), [[0, 0], [1, 0]])
    (y * mg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 2)))
