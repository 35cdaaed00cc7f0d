"""Every element-by-element operation: its values are NumPy's, its derivatives agree with differences, twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops import elementwise
from minigrad.ops.primitive import Primitive
from minigrad.testing import gradcheck, strategies

# name → (NumPy's function, the interval on which it is smooth)
UNARY = {
    "negative": (np.negative, (-2, 2)),
    "abs": (np.abs, (0.1, 2)),
    "square": (np.square, (-2, 2)),
    "reciprocal": (np.reciprocal, (0.5, 2)),
    "exp": (np.exp, (-2, 2)),
    "expm1": (np.expm1, (-2, 2)),
    "log": (np.log, (0.5, 2)),
    "log1p": (np.log1p, (-0.5, 2)),
    "log2": (np.log2, (0.5, 2)),
    "log10": (np.log10, (0.5, 2)),
    "sqrt": (np.sqrt, (0.5, 2)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), (-2, 2)),
    "softplus": (lambda x: np.log(1 + np.exp(x)), (-2, 2)),
    "sin": (np.sin, (-2, 2)),
    "cos": (np.cos, (-2, 2)),
    "tan": (np.tan, (-1, 1)),
    "asin": (np.arcsin, (-0.8, 0.8)),
    "acos": (np.arccos, (-0.8, 0.8)),
    "atan": (np.arctan, (-2, 2)),
    "sinh": (np.sinh, (-2, 2)),
    "cosh": (np.cosh, (-2, 2)),
    "tanh": (np.tanh, (-2, 2)),
    "asinh": (np.arcsinh, (-2, 2)),
    "acosh": (np.arccosh, (1.5, 3)),
    "atanh": (np.arctanh, (-0.8, 0.8)),
    "relu": (lambda x: np.maximum(x, 0), (0.1, 2)),
    "sign": (np.sign, (0.1, 2)),
    "floor": (np.floor, (0.1, 0.9)),
    "ceil": (np.ceil, (0.1, 0.9)),
    "round": (np.round, (0.6, 0.9)),
    "trunc": (np.trunc, (0.1, 0.9)),
}
BINARY = {
    "add": (np.add, (-2, 2)),
    "subtract": (np.subtract, (-2, 2)),
    "multiply": (np.multiply, (-2, 2)),
    "divide": (np.divide, (0.5, 2)),
    "pow": (np.power, (0.5, 2)),
    "maximum": (np.maximum, (-2, 2)),
    "minimum": (np.minimum, (-2, 2)),
    "remainder": (np.remainder, (1.1, 1.9)),
}


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
def test_unary_values_are_numpys_and_keep_the_dtype(name: str, data: st.DataObject) -> None:
    reference, (low, high) = UNARY[name]
    dtype = data.draw(strategies.dtypes("f"))
    x = data.draw(strategies.arrays(strategies.shapes(min_side=0), dtype, low, high))
    result = getattr(mg, name)(mg.asarray(x))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.numpy(), reference(x), rtol=8 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
def test_unary_derivatives_agree_with_differences_to_second_order(name: str, data: st.DataObject) -> None:
    _, (low, high) = UNARY[name]
    assert gradcheck(getattr(mg, name), data.draw(strategies.arrays(strategies.shapes(), low=low, high=high)), order=2)


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_binary_derivatives_agree_with_differences_to_second_order_under_broadcasting(
    name: str, data: st.DataObject
) -> None:
    _, (low, high) = BINARY[name]
    shapes = data.draw(strategies.broadcasting_shapes())
    a, b = (data.draw(strategies.arrays(shape, low=low, high=high)) for shape in shapes)
    b = b + 2.0 if name == "remainder" else b  # between two multiples, where it is smooth
    if name in ("maximum", "minimum") and np.min(np.abs(a - b), initial=1) < 1e-3:
        return
    assert gradcheck(getattr(mg, name), (a, b), order=2)


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_binary_values_are_numpys_under_broadcasting(name: str, data: st.DataObject) -> None:
    reference, (low, high) = BINARY[name]
    dtype = data.draw(strategies.dtypes("f"))
    a, b = (data.draw(strategies.arrays(s, dtype, low, high)) for s in data.draw(strategies.broadcasting_shapes()))
    result = getattr(mg, name)(mg.asarray(a), mg.asarray(b))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result.numpy(), reference(a, b))


@given(data=st.data())
def test_where_and_clip_derivatives_agree_with_differences(data: st.DataObject) -> None:
    shapes = data.draw(strategies.broadcasting_shapes(3))
    condition = data.draw(strategies.arrays(shapes[0], np.bool_))
    a, b = (data.draw(strategies.arrays(shape)) for shape in shapes[1:])
    assert gradcheck(lambda a, b: mg.where(condition, a * b, a - b), (a, b), order=2)
    away = np.where(np.abs(np.abs(a) - 1) < 1e-3, 0.5, a)
    assert gradcheck(lambda x: mg.clip(x, -1, 1) * x, away, order=2)


def _slope(function: object, at: float) -> float:
    x = mg.tensor(at, dtype=mg.float64, requires_grad=True)
    function(x).backward()
    assert x.grad is not None
    return x.grad.item()


def test_singular_points_follow_pytorchs_convention() -> None:
    assert _slope(mg.abs, 0.0) == 0
    assert _slope(mg.relu, 0.0) == 0
    assert _slope(lambda x: mg.maximum(x, mg.tensor(1.0, dtype=mg.float64)), 1.0) == 0.5
    assert _slope(lambda x: mg.minimum(x, mg.tensor(1.0, dtype=mg.float64)), 1.0) == 0.5
    assert _slope(lambda x: mg.clip(x, 0.0, 1.0), 1.0) == 1
    assert _slope(lambda x: mg.clip(x, 0.0, 1.0), 0.0) == 1
    assert _slope(lambda x: x**0, 0.0) == 0
    assert _slope(lambda x: x**2, 0.0) == 0
    with np.errstate(invalid="ignore"):
        assert _slope(lambda x: mg.where(x > 0, mg.log(x), x), -1.0) == 1
    assert math.isinf(_slope(mg.sqrt, 0.0))


def test_python_and_numpy_scalars_leave_float32_as_it_is() -> None:
    x = mg.ones(3)
    for result in (x * 2, x * 2.5, 2.5 - x, x / np.sqrt(64), x**2, mg.where(x > 0, x, 0.0), x * np.float64(3)):
        assert result.dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) * 2.5).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) + x).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) / 2).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.float64) + x).dtype == mg.float64


def test_choices_between_scalars_and_fractional_powers_stay_float32() -> None:
    mask = mg.tensor([True, False])
    assert mg.where(mask, 1.0, 0.0).dtype == mg.float32
    assert mg.where(mask, 0.5, mg.tensor([1, 2])).dtype == mg.float32
    assert (mg.tensor([1, 2]) * np.float32(2.5)).dtype == mg.float32
    assert mg.abs(-1.5).dtype == mg.float32
    x = mg.ones(2).requires_grad_()
    seen: list[object] = []
    middle = x * 1
    middle.register_hook(lambda g: seen.append(g.dtype))
    (middle**2.5).sum().backward()
    assert seen == [mg.float32]


def test_gradients_have_their_inputs_shape_and_dtype() -> None:
    x = mg.ones((3, 1), dtype=mg.float32)
    x.requires_grad_()
    y = mg.ones((2, 1, 4), dtype=mg.float64)
    y.requires_grad_()
    (x * y + x).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert (x.grad.shape, x.grad.dtype) == ((3, 1), mg.float32)
    assert (y.grad.shape, y.grad.dtype) == ((2, 1, 4), mg.float64)


def test_extreme_values_neither_overflow_nor_become_nan() -> None:
    x = mg.tensor([-1000.0, 0.0, 1000.0])
    np.testing.assert_array_equal(mg.sigmoid(x).numpy(), [0, 0.5, 1])
    np.testing.assert_allclose(mg.softplus(x).numpy(), [0, np.log(2), 1000], rtol=1e-6)


def test_every_public_operation_with_a_derivative_is_in_the_tables_above() -> None:
    known = {name for name, op in vars(elementwise).items() if isinstance(op, Primitive) and op.differentiable}
    assert known - {"where", "_cast"} <= {*UNARY, *BINARY, "clip"}


def test_comparisons_and_logic_give_booleans_without_gradient() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for result in (x > 1, x >= 1, x < 1, x <= 1, x == 1, x != 1, mg.isnan(x), mg.logical_not(x > 1), ~(x > 1)):
        assert result.dtype == mg.bool
        assert not result.requires_grad
    np.testing.assert_array_equal(((x > 1) & (x < 3)).numpy(), [False, True])


@pytest.mark.parametrize(
    "name", ["floor_divide", "remainder", "bitwise_and", "bitwise_or", "bitwise_xor", "maximum", "minimum", "less"]
)
@given(data=st.data())
def test_integer_operations_are_numpys_for_every_integer_dtype(name: str, data: st.DataObject) -> None:
    dtype = data.draw(strategies.dtypes("iu"))
    shapes = data.draw(strategies.broadcasting_shapes())
    a, b = (data.draw(strategies.arrays(shape, dtype, 1, 100)) for shape in shapes)
    result = getattr(mg, name)(mg.asarray(a), mg.asarray(b))
    expected = getattr(np, name)(a, b)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)
