"""Cumulative sums, products and extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies

SCANS = {
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "logcumsumexp": np.logaddexp.accumulate,
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
}


def _values(name: str, x: Any, axis: int) -> Any:
    result = getattr(mg, name)(x, axis=axis)
    return result.values if isinstance(result, tuple) else result


@pytest.mark.parametrize("name", SCANS)
@settings(max_examples=15)
@given(data=st.data())
def test_values_are_numpys_and_derivatives_agree_with_differences(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1), low=-1.5, high=1.5, distinct=0.01))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    np.testing.assert_allclose(_values(name, mg.asarray(x), axis).numpy(), SCANS[name](x, axis=axis), rtol=1e-12)
    assert gradcheck(lambda t: _values(name, t * t * t + t, axis), x, order=2)


@pytest.mark.parametrize("zeros", [(0,), (2,), (0, 3), (1, 2), (0, 1, 2, 3)])
def test_running_products_are_differentiated_exactly_and_twice_with_zeros(zeros: tuple[int, ...]) -> None:
    x = np.array([2.0, -3.0, 0.5, 4.0])
    x[list(zeros)] = 0
    leaf = mg.tensor(x, dtype=mg.float64, requires_grad=True)
    mg.cumprod(leaf).sum().backward()
    assert leaf.grad is not None
    expected = [sum(np.prod(np.delete(x[: k + 1], i)) for k in range(i, 4)) for i in range(4)]
    np.testing.assert_array_equal(leaf.grad.numpy(), expected)
    assert gradcheck(mg.cumprod, x, order=2)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float32"])
def test_small_integers_add_up_as_in_numpy_unless_a_dtype_is_given(name: str, dtype: str) -> None:
    x = np.ones((2, 3), dtype)
    result = getattr(mg, name)(mg.asarray(x))
    expected = getattr(np, name)(x)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)
    for wanted in (mg.int8, mg.float64):
        assert getattr(mg, name)(mg.asarray(x), axis=1, dtype=wanted).dtype == wanted


@pytest.mark.parametrize(("name", "first"), [("cumulative_sum", 0), ("cumulative_prod", 1)])
def test_the_standards_scans_may_start_from_their_initial_value(name: str, first: int) -> None:
    scan = getattr(mg, name)
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for axis in (0, 1, -1):
        result = scan(mg.asarray(x), axis=axis, include_initial=True).numpy()
        np.testing.assert_array_equal(result, getattr(np, name)(x, axis=axis, include_initial=True))
        assert (np.take(result, 0, axis) == first).all()
    assert scan(mg.tensor([1, 2]), include_initial=True).shape == (3,)
    assert gradcheck(lambda x: scan(x, axis=1, include_initial=True), x, order=2)
    with pytest.raises(ValueError, match="axis: expected"):
        scan(x)


def test_running_extremes_know_where_they_stand_of_ties_the_latest_and_nan_outweighs() -> None:
    values, indices = mg.cummax(mg.tensor([1.0, 3.0, 3.0, 2.0, np.nan, 5.0]))
    np.testing.assert_array_equal(values.numpy(), [1, 3, 3, 3, np.nan, np.nan])
    assert indices.tolist() == [0, 1, 2, 2, 4, 4]
    assert mg.cummin(mg.tensor([[2, 1], [1, 3]]), axis=0).indices.tolist() == [[0, 0], [1, 0]]


def test_running_logsumexp_of_nothing_has_no_gradient_and_no_nan() -> None:
    x = mg.tensor([-np.inf, -np.inf, 0.0, 1000.0], dtype=mg.float64, requires_grad=True)
    y = mg.logcumsumexp(x)
    np.testing.assert_array_equal(y.detach().numpy(), [-np.inf, -np.inf, 0, 1000])
    (slope,) = mg.autograd.grad(y[1:].sum(), [x], create_graph=True)
    np.testing.assert_array_equal(slope.detach().numpy(), [0, 0, 1, 1])


def test_scalars_and_empty_axes_are_scanned_too() -> None:
    for name in SCANS:
        assert _values(name, mg.tensor(2.0), 0).shape == ((1,) if name in ("cumsum", "cumprod") else ())
        if name not in ("cummax", "cummin"):
            assert _values(name, mg.zeros((2, 0)), 1).shape == (2, 0)
    x = mg.zeros((2, 0), dtype=mg.float64).requires_grad_()
    mg.cumprod(x, axis=1).sum().backward()
    assert x.grad is not None and x.grad.shape == (2, 0)
