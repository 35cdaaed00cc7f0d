"""Reductions over any axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies

SMOOTH = (
    "sum",
    "prod",
    "mean",
    "var",
    "std",
    "logsumexp",
    "max",
    "min",
    "ptp",
    "median",
    "average",
    "nansum",
    "nanmax",
)
# name → NumPy's function, where it bears another name
EXACT = {
    name: getattr(np, name)
    for name in ("sum", "prod", "mean", "var", "std", "max", "min", "amax", "amin", "ptp", "median", "any", "all")
}
EXACT |= {name: getattr(np, name) for name in ("count_nonzero", "nansum", "nanmean", "nanmax", "nanmin")}
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


def _gradient(function: Any, x: Any) -> Any:
    leaf = mg.tensor(x, dtype=mg.float64, requires_grad=True)
    with np.errstate(all="ignore"):
        function(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.numpy()


@pytest.mark.parametrize("name", SMOOTH)
@settings(max_examples=12)
@given(data=st.data())
def test_derivatives_agree_with_differences_to_second_order_over_any_axes(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1, min_side=2), low=-1.5, high=1.5, distinct=0.01))
    axis = data.draw(strategies.axes(x.ndim))
    keepdims = data.draw(st.booleans())
    if name == "std" and axis == ():
        axis = None  # of single elements there is no deviation
    function = getattr(mg, name)
    assert gradcheck(lambda t: function(t * t * t + t, axis=axis, keepdims=keepdims), x, order=2)


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=12)
@given(data=st.data())
def test_values_and_shapes_are_numpys(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes()))
    axis = data.draw(strategies.axes(x.ndim))
    keepdims = data.draw(st.booleans())
    x = x > 0 if name in ("any", "all", "count_nonzero") else x
    result = getattr(mg, name)(mg.asarray(x), axis=axis, keepdims=keepdims)
    expected = EXACT[name](x, axis=axis, keepdims=keepdims)
    assert result.shape == np.shape(expected)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_and_products_have_the_standards_dtypes(dtype: str) -> None:
    x = mg.ones((2, 3), dtype=np.dtype(dtype))
    for function in (mg.sum, mg.prod):
        assert function(x).dtype == np.sum(np.ones(2, dtype)).dtype
        assert function(x, axis=1).dtype == function(x).dtype
        assert function(x, dtype=mg.int16).dtype == mg.int16
        assert function(x, dtype=mg.float64).dtype == mg.float64
    assert mg.max(x).dtype == x.dtype
    for floating in (mg.mean, mg.var, mg.std, mg.median, mg.logsumexp):
        assert floating(x).dtype == (x.dtype if x.dtype.kind == "f" else mg.float32)


def test_a_sum_in_another_dtype_returns_its_gradient_in_its_own() -> None:
    x = mg.ones(3).requires_grad_()
    mg.sum(x, dtype=mg.float64).backward()
    assert x.grad is not None and x.grad.dtype == mg.float32


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(data=st.data())
def test_positions_of_extremes_are_numpys(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(), np.int64, 0, 3))
    axis = data.draw(strategies.axes(x.ndim, several=False))
    keepdims = data.draw(st.booleans())
    result = getattr(mg, name)(mg.asarray(x), axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(result.numpy(), getattr(np, name)(x, axis=axis, keepdims=keepdims))


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_gradient_evenly(name: str) -> None:
    x = mg.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]], requires_grad=True)
    getattr(x if name == "max" else x * -1, name)(axis=1).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(np.abs(x.grad.numpy()), [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_a_maximum_that_is_nan_has_its_gradient_from_the_nan() -> None:
    np.testing.assert_array_equal(_gradient(lambda x: mg.max(x, axis=1), [[1, np.nan], [2, 1]]), [[0, 1], [1, 0]])


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_are_differentiated_exactly_and_twice_with_any_number_of_zeros(zeros: int) -> None:
    x = np.array([0.0] * zeros + [2.0, 3.0, -4.0, 5.0])[: max(zeros, 4)]
    others = [np.prod(np.delete(x, i)) for i in range(x.size)]
    np.testing.assert_array_equal(_gradient(mg.prod, x), others)
    assert gradcheck(mg.prod, x, order=2)
    assert gradcheck(lambda x: mg.prod(x.reshape(2, -1) if x.size % 2 == 0 else x, axis=(0,)), x, order=2)


@pytest.mark.parametrize("correction", [0, 1, 0.5])
def test_variance_corrects_its_count(correction: float) -> None:
    x = np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 3.0]])
    for name in ("var", "std"):
        result = getattr(mg, name)(mg.asarray(x), axis=1, correction=correction)
        np.testing.assert_allclose(result.numpy(), getattr(np, name)(x, axis=1, ddof=correction))


def test_a_deviation_of_zero_has_a_gradient_of_zero() -> None:
    np.testing.assert_array_equal(_gradient(lambda x: mg.std(x, axis=1), [[1, 1], [0, 2]]), [[0, 0], [-0.5, 0.5]])


def test_variance_of_too_few_elements_is_nan() -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(mg.var(mg.tensor([1.0]), correction=1).item())


def test_logsumexp_of_extremes() -> None:
    inf = np.inf
    assert mg.logsumexp(mg.tensor([1000.0, 1000.0])).item() == pytest.approx(1000 + np.log(2))
    rows = [[-inf, -inf], [inf, 0], [-inf, 1], [-1e300, -1e300]]
    result = mg.logsumexp(mg.tensor(rows, dtype=mg.float64), axis=1)
    np.testing.assert_array_equal(result.numpy(), [-inf, inf, 1, -1e300])
    expected = [[0, 0], [1, 0], [0, 1], [0.5, 0.5]]
    gradient = _gradient(lambda x: mg.logsumexp(x, axis=1), [*rows[:3], [-3, -3]])
    np.testing.assert_allclose(gradient, expected, rtol=1e-15)
    assert mg.logsumexp(mg.zeros((2, 0)), axis=1).numpy().tolist() == [-inf, -inf]


def test_logsumexp_of_nothing_in_a_row_is_differentiable_twice() -> None:
    x = mg.tensor([[-np.inf, -np.inf], [np.inf, 1.0], [0.0, 1.0]], dtype=mg.float64, requires_grad=True)
    ones = mg.ones(3, dtype=mg.float64)
    (slope,) = mg.autograd.grad(mg.logsumexp(x, axis=1), [x], ones, create_graph=True)
    (curvature,) = mg.autograd.grad((slope * slope).sum(), [x])
    assert np.isfinite(curvature.numpy()).all()


@given(data=st.data())
def test_quantiles_are_numpys_and_differentiable(data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_dims=1), distinct=0.01))
    axis = data.draw(strategies.axes(x.ndim))
    keepdims = data.draw(st.booleans())
    q = data.draw(strategies.arrays(strategies.shapes(max_dims=2), low=0, high=1))
    method = data.draw(st.sampled_from(["linear", "lower", "higher", "midpoint", "nearest"]))
    result = mg.quantile(mg.asarray(x), q, axis=axis, keepdims=keepdims, method=method)
    expected = np.quantile(x, q, axis=axis, keepdims=keepdims, method=method)
    assert result.shape == np.shape(expected)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert gradcheck(lambda x: mg.quantile(x, q, axis=axis, keepdims=keepdims) ** 2, x, order=2)


def test_quantiles_follow_their_share_and_refuse_impossible_ones() -> None:
    x = mg.tensor([1.0, 2.0, 4.0], dtype=mg.float64)
    assert gradcheck(lambda x, q: mg.quantile(x, q), (x.numpy(), np.array([0.3, 0.8])), order=2)
    assert mg.percentile(x, 75).item() == 3
    for arguments, message in (((x, 1.5), "q: expected"), ((mg.zeros(0), 0.5), "x: expected")):
        with pytest.raises(ValueError, match=message):
            mg.quantile(*arguments)
    with pytest.raises(ValueError, match="method: expected"):
        mg.quantile(x, 0.5, method="weibull")


def test_medians_and_quantiles_of_nan_are_nan() -> None:
    x = mg.tensor([[1.0, np.nan, 0.0], [3.0, 1.0, 2.0]])
    np.testing.assert_array_equal(mg.median(x, axis=1).numpy(), [np.nan, 2])
    np.testing.assert_array_equal(mg.quantile(x, 0.0, axis=1).numpy(), [np.nan, 1])


def test_averages_count_each_element_by_its_weight() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for axis, weights in ((1, np.array([1.0, 2.0, 0.5])), (None, x + 1), (0, np.array([1, 3]))):
        result = mg.average(mg.asarray(x), axis=axis, weights=weights)
        np.testing.assert_allclose(result.numpy(), np.average(x, axis=axis, weights=weights))
    assert gradcheck(lambda x, w: mg.average(x, axis=1, weights=w), (x, np.array([1.0, 2.0, 0.5])), order=2)
    with pytest.raises(ValueError, match="weights: expected"):
        mg.average(x, axis=0, weights=[1.0, 2.0, 3.0])


def test_reductions_without_nan_skip_it_and_give_it_no_gradient() -> None:
    x = [[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]
    with np.errstate(invalid="ignore"):
        for name, expected in (("nansum", [4, 0]), ("nanmean", [2, np.nan]), ("nanmax", [3, np.nan])):
            np.testing.assert_array_equal(getattr(mg, name)(mg.tensor(x), axis=1).numpy(), expected)
    np.testing.assert_array_equal(_gradient(lambda x: mg.nanmax(x[:1], axis=1), x), [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(_gradient(lambda x: mg.nanmean(x[:1], axis=1), x), [[0.5, 0, 0.5], [0, 0, 0]])
    assert mg.nanmin(mg.tensor([2, 1])).dtype == mg.int64


def test_scalars_have_axes_zero_and_minus_one_as_in_pytorch() -> None:
    x = mg.tensor(2.0)
    for function in (mg.sum, mg.mean, mg.prod, mg.max, mg.logsumexp, mg.median):
        for axis in (0, -1):
            result = function(x.requires_grad_(), axis=axis)
            assert result.shape == () and result.item() == 2
            result.backward()


def test_empty_arrays_have_sums_and_products_and_no_extremes() -> None:
    x = mg.zeros((0, 3))
    assert mg.sum(x, axis=0).tolist() == [0, 0, 0] and mg.prod(x, axis=0).tolist() == [1, 1, 1]
    np.testing.assert_array_equal(_gradient(lambda x: mg.prod(x, axis=0), np.zeros((0, 3))), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="no identity"):
        mg.max(x, axis=0)


def test_float32_stays_float32() -> None:
    x = mg.ones((2, 3)).requires_grad_()
    functions = (mg.sum, mg.prod, mg.mean, mg.var, mg.std, mg.max, mg.logsumexp, mg.median, mg.nanmean, mg.ptp)
    for function in functions:
        assert function(x, axis=1).dtype == mg.float32
    assert mg.quantile(x, 0.3).dtype == mg.float32
    assert mg.ones(3, dtype=mg.int32).mean().dtype == mg.float32


def test_logsumexp_is_scipys() -> None:
    x = np.linspace(-300, 300, 24).reshape(2, 3, 4)
    for axis in (None, 1, (0, 2)):
        np.testing.assert_allclose(mg.logsumexp(x, axis=axis).numpy(), scipy.special.logsumexp(x, axis=axis))


def test_large_logarithms_have_shares_to_the_last_digit() -> None:
    x = mg.tensor(np.full(5, 1e7, np.float32), requires_grad=True)
    np.testing.assert_allclose(mg.log_softmax(x).detach().numpy(), np.full(5, -np.log(5)), rtol=1e-6)
    for function in (mg.logsumexp, lambda x: mg.logcumsumexp(x)[-1]):
        x.grad = None
        function(x).backward()
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), np.full(5, 0.2), rtol=1e-6)
    np.testing.assert_allclose(
        mg.logcumsumexp(np.full(1000, 1e6, np.float32))[-1].item(), 1e6 + np.log(1000), rtol=1e-7
    )


def test_percentiles_at_infinite_elements_are_those_elements() -> None:
    assert mg.percentile(np.array([-np.inf, 1]), 0).item() == -np.inf
    assert mg.percentile(np.array([1, np.inf]), 100).item() == np.inf
    assert mg.median(np.array([np.inf, np.inf, 1])).item() == np.inf


def test_scalars_have_numpys_shapes() -> None:
    scalar = mg.tensor(2.0)
    assert mg.cumulative_sum(scalar).shape == mg.cumulative_sum(scalar, axis=0).shape == (1,)
    assert mg.cumulative_sum(scalar, axis=0, include_initial=True).tolist() == [0, 2]
    assert mg.cumulative_prod(scalar, axis=-1, include_initial=True).tolist() == [1, 2]
    assert mg.logsumexp(scalar, keepdims=True).shape == (1,)  # SciPy's
    assert mg.logsumexp(scalar).shape == mg.sum(scalar, keepdims=True).shape == ()
