"""Comparisons, predicates, logic, bits, and selection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.testing import gradcheck, strategies

COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
PREDICATES = ("isnan", "isinf", "isfinite", "signbit", "logical_not")
LOGIC = ("logical_and", "logical_or", "logical_xor")
BITS = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "bitwise_left_shift": np.left_shift,
    "bitwise_right_shift": np.right_shift,
}


@pytest.mark.parametrize("name", [*COMPARISONS, *LOGIC])
@settings(max_examples=8)  # of each row of the table
@given(data=st.data())
def test_comparisons_and_logic_give_numpys_booleans_without_gradient(name: str, data: st.DataObject) -> None:
    dtype = data.draw(strategies.dtypes("biuf"))
    a, b = (data.draw(strategies.arrays(s, dtype, 0, 3)) for s in data.draw(strategies.broadcasting_shapes()))
    result = getattr(mg, name)(mg.tensor(a, requires_grad=dtype.kind == "f"), mg.asarray(b))
    assert result.dtype == mg.bool and not result.requires_grad
    np.testing.assert_array_equal(result.numpy(), getattr(np, name)(a, b))


@pytest.mark.parametrize("name", PREDICATES)
def test_predicates_are_numpys_at_every_special_value(name: str) -> None:
    x = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, -np.nan], np.float32)
    result = getattr(mg, name)(mg.asarray(x))
    assert result.dtype == mg.bool
    np.testing.assert_array_equal(result.numpy(), getattr(np, name)(x))


@pytest.mark.parametrize("name", BITS)
@settings(max_examples=8)  # of each row of the table
@given(data=st.data())
def test_bits_are_numpys_for_every_integer_dtype(name: str, data: st.DataObject) -> None:
    dtype = data.draw(strategies.dtypes("iu"))
    a, b = (data.draw(strategies.arrays(s, dtype, 0, 7)) for s in data.draw(strategies.broadcasting_shapes()))
    result = getattr(mg, name)(mg.asarray(a), mg.asarray(b))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result.numpy(), BITS[name](a, b))
    np.testing.assert_array_equal(mg.bitwise_invert(mg.asarray(a)).numpy(), ~a)


def test_closeness_and_equality_are_numpys() -> None:
    a, b = np.array([1.0, 1.0, np.nan, np.inf]), np.array([1.0 + 1e-9, 1.1, np.nan, np.inf])
    np.testing.assert_array_equal(mg.isclose(mg.asarray(a), b).numpy(), np.isclose(a, b))
    np.testing.assert_array_equal(mg.isclose(a, b, atol=0.2, equal_nan=True).numpy(), [True] * 4)
    assert mg.allclose(mg.asarray(a[:1]), b[:1]) and not mg.allclose(a, b)
    assert mg.array_equal([1, 2], mg.tensor([1, 2])) and not mg.array_equal([1, 2], [1])


@given(data=st.data())
def test_where_derivatives_agree_with_differences_under_broadcasting(data: st.DataObject) -> None:
    shapes = data.draw(strategies.broadcasting_shapes(3))
    condition = data.draw(strategies.arrays(shapes[0], np.bool_))
    a, b = (data.draw(strategies.arrays(shape)) for shape in shapes[1:])
    assert gradcheck(lambda a, b: mg.where(condition, a * b, a - b), (a, b), order=2)
    assert gradcheck(lambda a, b: mg.select([condition, ~condition], [a * a, b * a]), (a, b), order=2)


def test_a_branch_that_is_not_taken_gets_a_zero_gradient_even_where_its_slope_is_infinite() -> None:
    x = mg.tensor([-1.0, 0.0], requires_grad=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        mg.where(x > 0, mg.log(x), mg.where(x < 0, x, 0)).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[:1], [1])


def test_choices_between_numbers_stay_float32() -> None:
    mask = mg.tensor([True, False])
    assert mg.where(mask, 1.0, 0.0).dtype == mg.float32
    assert mg.where(mask, 0.5, mg.tensor([1, 2])).dtype == mg.float32
    assert mg.where(mask, 1, 2).dtype == mg.int64


def test_where_with_a_condition_alone_finds_positions() -> None:
    x = np.array([[0, 1], [2, 0]])
    for found, expected in zip(mg.where(mg.asarray(x)), np.nonzero(x), strict=True):
        assert found.dtype == mg.int64
        np.testing.assert_array_equal(found.numpy(), expected)
    with pytest.raises(ValueError, match="both x1 and x2"):
        mg.where(x, 1)


def test_select_takes_the_first_condition_that_holds_and_refuses_lists_that_do_not_match() -> None:
    x = np.arange(6)
    chosen = mg.select([x < 2, x < 4], [x, -x], 9)
    np.testing.assert_array_equal(chosen.numpy(), np.select([x < 2, x < 4], [x, -x], 9))
    with pytest.raises(ValueError, match="condlist"):
        mg.select([x < 2], [x, x])
