"""Special functions: SciPy's values over their domains, and derivatives to second order, poles and tails included."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies

# name → (SciPy's function, the interval its values are compared on, the interval on which it is smooth)
FUNCTIONS = {
    "erf": (scipy.special.erf, (-6, 6), (-2, 2)),
    "erfc": (scipy.special.erfc, (-6, 9), (-2, 2)),
    "erfcx": (scipy.special.erfcx, (-5, 50), (-1, 2)),
    "erfinv": (scipy.special.erfinv, (-0.999, 0.999), (-0.8, 0.8)),
    "ndtr": (scipy.special.ndtr, (-9, 6), (-2, 2)),
    "log_ndtr": (scipy.special.log_ndtr, (-100, 5), (-3, 2)),
    "lgamma": (scipy.special.gammaln, (2.5, 50), (0.5, 3)),
    "digamma": (scipy.special.digamma, (2, 50), (0.5, 3)),
    "sinc": (np.sinc, (-5, 5), (-2, 2)),
}
POLES = {
    "erfinv": ([-1.0, 1.0, 2.0], [-math.inf, math.inf, math.nan]),
    "lgamma": ([0.0, -1.0, math.inf], [math.inf, math.inf, math.inf]),
    "digamma": ([0.0, -0.0, -1.0, math.inf], [-math.inf, math.inf, math.nan, math.inf]),
    "erf": ([-math.inf, math.inf, math.nan], [-1, 1, math.nan]),
    "erfc": ([-math.inf, math.inf], [2, 0]),
    "erfcx": ([-30.0, math.inf], [math.inf, 0]),
    "log_ndtr": ([-math.inf, math.inf], [-math.inf, 0]),
    "sinc": ([0.0, 1.0], [1, 0]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_scipys_to_a_few_units_in_the_last_place(name: str, dtype: type) -> None:
    reference, (low, high), _ = FUNCTIONS[name]
    x = np.linspace(low, high, 2001, dtype=dtype)
    result = getattr(mg, name)(mg.asarray(x))
    assert result.dtype == dtype
    eps = np.finfo(dtype).eps
    exact = reference(x.astype(np.float64))
    # The tails of exp(-x²) magnify the rounding of x².
    np.testing.assert_allclose(result.numpy(), exact, rtol=(400 if dtype is np.float64 else 60) * eps, atol=eps)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=8)
@given(data=st.data())
def test_derivatives_agree_with_differences_to_second_order(name: str, data: st.DataObject) -> None:
    low, high = FUNCTIONS[name][2]
    assert gradcheck(getattr(mg, name), data.draw(strategies.arrays(strategies.shapes(), low=low, high=high)), order=2)


@pytest.mark.parametrize("name", POLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_at_poles_and_infinities(name: str, dtype: type) -> None:
    x, expected = POLES[name]
    with np.errstate(divide="ignore"):
        result = getattr(mg, name)(mg.asarray(np.array(x, dtype))).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-7)


@pytest.mark.parametrize("n", range(6))
def test_polygamma_is_scipys_on_both_sides_of_zero(n: int) -> None:
    x = np.concatenate([np.linspace(0.01, 30, 500), np.linspace(-9.7, -0.3, 95)])  # no integer among them
    x = x[np.abs(x - np.rint(x)) > 0.01]
    exact = scipy.special.polygamma(n, x)
    np.testing.assert_allclose(mg.polygamma(n, mg.asarray(x)).numpy(), exact, rtol=1e-11, atol=1e-13)


def test_polygamma_at_its_poles_and_far_away() -> None:
    x = mg.tensor([0.0, -1.0, math.inf, -1e300], dtype=mg.float64)
    np.testing.assert_array_equal(mg.polygamma(1, x).numpy(), [math.inf, math.inf, 0, math.inf])
    with pytest.raises(ValueError, match="n: expected"):
        mg.polygamma(-1, x)


@given(strategies.arrays(strategies.shapes(), low=0.5, high=3), st.integers(1, 4))
def test_polygamma_derivatives_agree_with_differences(x: np.ndarray, n: int) -> None:
    assert gradcheck(lambda x: mg.polygamma(n, x) / math.factorial(n), x, order=2)


@pytest.mark.parametrize("at", [0.0, 1e-9, 1e-3, 0.3, -0.7])
def test_sinc_has_exact_derivatives_of_any_order_at_and_around_zero(at: float) -> None:
    x = mg.tensor(at, dtype=mg.float64, requires_grad=True)
    value = mg.sinc(x)
    # The terms of sin(πx)/(πx) = Σ (-1)ᵏ (πx)²ᵏ / (2k+1)!, differentiated one by one
    for order in range(5):
        exact = sum(
            (-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k + 1) * math.perm(2 * k, order) * at ** (2 * k - order)
            for k in range((order + 1) // 2, 20)
        )
        assert value.item() == pytest.approx(exact, rel=1e-12, abs=1e-12)
        (value,) = mg.autograd.grad(value, [x], create_graph=True)


def test_slopes_in_the_far_tail_of_the_normal_distribution() -> None:
    x = mg.tensor([-30.0, -1e5, 10.0], dtype=mg.float64, requires_grad=True)
    mg.log_ndtr(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [30.03325966743577, 100000.00001, 7.69459862670642e-23], rtol=1e-10)


def test_integers_become_float32() -> None:
    for name in FUNCTIONS:
        assert getattr(mg, name)(mg.tensor([0, 1])).dtype == mg.float32
