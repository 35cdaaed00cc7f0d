"""Gradient check: right derivatives pass, wrong ones are named."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.ops.primitive import primitive
from minigrad.testing import GradientError, gradcheck, strategies


@primitive
def _cube(x, /, factor=3.0, power=2):
    return x**3


_cube.vjp(x=lambda g, x, factor, power: g * factor * x**power)
AT = np.array([0.5, -1.5, 2.0])


def test_a_right_derivative_passes_to_second_order() -> None:
    assert gradcheck(_cube, AT, order=2)


def test_orders_beyond_the_second() -> None:
    assert gradcheck(lambda x: mg.sin(x) * x, AT, order=4)


def test_a_wrong_factor_is_named_with_input_element_and_both_numbers() -> None:
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda y, x: _cube(x, 6.0) + y, (AT, AT))
    found = re.search(
        r"input 1, element \[\d\]: the gradient is ([-\d.]+), the difference quotient ([-\d.]+)", str(caught.value)
    )
    assert found is not None
    assert float(found[1]) == pytest.approx(2 * float(found[2]), rel=1e-4)
    assert "constant factor of 2 too much" in str(caught.value)


def test_a_wrong_sign_is_named() -> None:
    with pytest.raises(GradientError, match="the sign is wrong"):
        gradcheck(lambda x: _cube(x, -3.0), AT)


def test_a_missing_term_is_named() -> None:
    with pytest.raises(GradientError, match="a term is missing"):
        gradcheck(lambda x: _cube(x, 0.0), AT)


def test_a_wrong_second_derivative_is_found_though_the_first_is_right() -> None:
    @primitive
    def square(x, /):
        return x * x

    square.vjp(x=lambda g, x: g * 2 * (x.detach() if isinstance(x, mg.Tensor) else x))
    assert gradcheck(square, AT)
    with pytest.raises(GradientError, match="derivative 2"):
        gradcheck(square, AT, order=2)


def test_a_kink_is_suspected_where_differences_straddle_it() -> None:
    with pytest.raises(GradientError):
        gradcheck(mg.relu, np.zeros(3))


def test_integer_inputs_are_passed_through_and_bad_arguments_refused() -> None:
    assert gradcheck(lambda x, i: x[i], (AT, np.array([0, 0, 2])), order=2)
    with pytest.raises(ValueError, match="at least one floating"):
        gradcheck(mg.sum, np.array([1, 2]))
    with pytest.raises(ValueError, match="at least 1"):
        gradcheck(mg.sum, AT, order=0)


@given(st.data())
def test_strategies_draw_what_they_promise(data: st.DataObject) -> None:
    shapes = data.draw(strategies.broadcasting_shapes(3))
    np.broadcast_shapes(*shapes)
    dtype = data.draw(strategies.dtypes())
    x = data.draw(strategies.arrays(strategies.shapes(min_side=0), dtype))
    assert x.dtype == dtype
    np.sum(x, axis=data.draw(strategies.axes(x.ndim)))
    apart = data.draw(strategies.arrays((3, 4), distinct=0.05))
    assert np.min(np.diff(np.sort(apart.ravel()))) > 0.04


@pytest.mark.parametrize(
    "function",
    [
        lambda x: mg.nn.functional.dropout(x, 0.5),
        lambda x: x * np.random.default_rng().normal(size=x.shape),
        lambda x: mg.where(mg.random.uniform(x.shape) < 0.5, x, 2 * x),
        lambda x: mg.asarray(mg.random.uniform(x.shape)),  # which does not even depend on x
    ],
)
def test_a_random_function_is_blamed_for_its_randomness(function) -> None:
    with pytest.raises(GradientError, match="the function is random"):
        gradcheck(function, AT)


def test_a_function_that_seeds_its_draws_is_not_random() -> None:
    def seeded(x):
        return x * mg.random.uniform(x.shape, generator=mg.random.Generator(1))

    assert gradcheck(seeded, AT)


def test_a_wrong_derivative_beside_nan_is_not_called_random() -> None:
    with pytest.raises(GradientError, match="input 0"):
        gradcheck(lambda x: (_cube(x, factor=2.0), x * mg.nan), AT)
