"""Arithmetic and functions of real numbers: values are NumPy's, derivatives agree with differences, twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad.ops import elementwise
from minigrad.ops.primitive import Primitive
from minigrad.testing import gradcheck, strategies

# name → (NumPy's or SciPy's function, the interval on which it is smooth)
UNARY = {
    "positive": (np.positive, (-2, 2)),
    "negative": (np.negative, (-2, 2)),
    "abs": (np.abs, (0.1, 2)),
    "fabs": (np.fabs, (0.1, 2)),
    "square": (np.square, (-2, 2)),
    "reciprocal": (np.reciprocal, (0.5, 2)),
    "exp": (np.exp, (-2, 2)),
    "exp2": (np.exp2, (-2, 2)),
    "expm1": (np.expm1, (-2, 2)),
    "log": (np.log, (0.5, 2)),
    "log1p": (np.log1p, (-0.5, 2)),
    "log2": (np.log2, (0.5, 2)),
    "log10": (np.log10, (0.5, 2)),
    "sqrt": (np.sqrt, (0.5, 2)),
    "rsqrt": (lambda x: x**-0.5, (0.5, 2)),
    "cbrt": (np.cbrt, (0.5, 2)),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), (-2, 2)),
    "log_sigmoid": (scipy.special.log_expit, (-2, 2)),
    "softplus": (lambda x: np.log(1 + np.exp(x)), (-2, 2)),
    "logit": (scipy.special.logit, (0.2, 0.4)),
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
    "deg2rad": (np.deg2rad, (-2, 2)),
    "rad2deg": (np.rad2deg, (-2, 2)),
    "relu": (lambda x: np.maximum(x, 0), (0.1, 2)),
    "nan_to_num": (np.nan_to_num, (-2, 2)),
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
    "fmax": (np.fmax, (-2, 2)),
    "fmin": (np.fmin, (-2, 2)),
    "remainder": (np.remainder, (1.1, 1.9)),
    "fmod": (np.fmod, (1.1, 1.9)),
    "floor_divide": (np.floor_divide, (1.1, 1.9)),
    "atan2": (np.arctan2, (0.5, 2)),
    "hypot": (np.hypot, (0.5, 2)),
    "copysign": (np.copysign, (0.5, 2)),
    "logaddexp": (np.logaddexp, (-2, 2)),
    "logaddexp2": (np.logaddexp2, (-2, 2)),
    "xlogy": (scipy.special.xlogy, (0.5, 2)),
    "heaviside": (np.heaviside, (0.5, 2)),
    "nextafter": (np.nextafter, (0.5, 2)),
}
DIFFERENTLY_TESTED = {"_clip", "cast", "lerp", "_relu_vjp", "_sigmoid_vjp"}
inf, nan = math.inf, math.nan


def _float64(x: Any) -> mg.Tensor:
    return mg.tensor(x, dtype=mg.float64, requires_grad=True)


def _slopes(function: Callable[..., Any], *at: float) -> list[float]:
    """The derivative with respect to each argument."""
    points = [_float64(value) for value in at]
    with np.errstate(all="ignore"):
        return [g.item() for g in mg.autograd.grad(function(*points), points)]


def _curvature(function: Callable[..., Any], at: float) -> float:
    x = _float64(at)
    (slope,) = mg.autograd.grad(function(x), [x], create_graph=True)
    return mg.autograd.grad(slope + 0 * x, [x])[0].item()


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=8)  # of each row of the table
@given(data=st.data())
def test_unary_values_are_numpys_and_keep_the_dtype(name: str, data: st.DataObject) -> None:
    reference, (low, high) = UNARY[name]
    dtype = data.draw(strategies.dtypes("f"))
    x = data.draw(strategies.arrays(strategies.shapes(min_side=0), dtype, low, high))
    result = getattr(mg, name)(mg.asarray(x))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.numpy(), reference(x), rtol=8 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=8)  # of each row of the table
@given(data=st.data())
def test_unary_derivatives_agree_with_differences_to_second_order(name: str, data: st.DataObject) -> None:
    _, (low, high) = UNARY[name]
    assert gradcheck(getattr(mg, name), data.draw(strategies.arrays(strategies.shapes(), low=low, high=high)), order=2)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=8)  # of each row of the table
@given(data=st.data())
def test_binary_derivatives_agree_with_differences_to_second_order_under_broadcasting(
    name: str, data: st.DataObject
) -> None:
    _, (low, high) = BINARY[name]
    shapes = data.draw(strategies.broadcasting_shapes())
    a, b = (data.draw(strategies.arrays(shape, low=low, high=high)) for shape in shapes)
    b = b + 2.0 if name in ("remainder", "fmod", "floor_divide") else b  # between two multiples, where it is smooth
    if name == "nextafter":  # smooth in the first argument only, and no differences are that small
        assert gradcheck(lambda a: mg.nextafter(a, b + 3), a, order=2)
        return
    if name in ("maximum", "minimum", "fmax", "fmin") and np.min(np.abs(a - b), initial=1) < 1e-3:
        return
    assert gradcheck(getattr(mg, name), (a, b), order=2)


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=8)  # of each row of the table
@given(data=st.data())
def test_binary_values_are_numpys_under_broadcasting(name: str, data: st.DataObject) -> None:
    reference, (low, high) = BINARY[name]
    dtype = data.draw(strategies.dtypes("f"))
    a, b = (data.draw(strategies.arrays(s, dtype, low, high)) for s in data.draw(strategies.broadcasting_shapes()))
    result = getattr(mg, name)(mg.asarray(a), mg.asarray(b))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.numpy(), reference(a, b), rtol=2 * np.finfo(dtype).eps)


def test_every_operation_with_a_derivative_is_in_the_tables_above() -> None:
    known = {
        name
        for name, op in vars(elementwise).items()
        if isinstance(op, Primitive) and op.differentiable and op.__module__ != "minigrad.ops.comparisons"
    }
    assert known - {"where"} <= {*UNARY, *BINARY, *DIFFERENTLY_TESTED}


def test_every_operation_has_a_docstring_without_numpys_parameters() -> None:
    for name in elementwise.__all__:
        text = getattr(mg, name).__doc__
        assert text and "out=" not in text and ">>> np." not in text, name


SLOPES = {
    "abs at 0": (mg.abs, (0.0,), [0]),
    "relu at 0": (mg.relu, (0.0,), [0]),
    "sqrt at 0": (mg.sqrt, (0.0,), [inf]),
    "ties of maximum": (mg.maximum, (1.0, 1.0), [0.5, 0.5]),
    "ties of minimum": (mg.minimum, (1.0, 1.0), [0.5, 0.5]),
    "ties of fmax": (mg.fmax, (1.0, 1.0), [1, 0]),
    "NaN in fmax": (mg.fmax, (nan, 1.0), [0, 1]),
    "NaN in fmin": (mg.fmin, (1.0, nan), [1, 0]),
    "hypot at the origin": (mg.hypot, (0.0, 0.0), [0, 0]),
    "atan2 at the origin": (mg.atan2, (0.0, 0.0), [0, 0]),
    "atan2 on the cut": (mg.atan2, (0.0, -1.0), [-1, 0]),
    "copysign at 0": (mg.copysign, (0.0, 1.0), [0, 0]),
    "copysign to -0": (mg.copysign, (2.0, -0.0), [-1, 0]),
    "logaddexp of nothing": (mg.logaddexp, (-inf, -inf), [0.5, 0.5]),
    "logaddexp with nothing": (mg.logaddexp, (1.0, -inf), [1, 0]),
    "logaddexp of huge equals": (mg.logaddexp, (1e30, 1e30), [0.5, 0.5]),
    "xlogy at 0, 0": (mg.xlogy, (0.0, 0.0), [0, 0]),
    "xlogy at 0, 2": (mg.xlogy, (0.0, 2.0), [math.log(2), 0]),
    "logit outside": (mg.logit, (2.0,), [nan]),
    "logit at 0": (mg.logit, (0.0,), [inf]),
    "remainder of negatives": (mg.remainder, (-5.0, 2.0), [1, 3]),
    "fmod of negatives": (mg.fmod, (-5.0, 2.0), [1, 2]),
    "floor_divide": (mg.floor_divide, (5.0, 2.0), [0, 0]),
    "heaviside at 0": (mg.heaviside, (0.0, 0.5), [0, 1]),
    "nan_to_num of inf": (mg.nan_to_num, (inf,), [0]),
    "0⁰": (mg.pow, (0.0, 0.0), [0, 0]),
    "0¹": (mg.pow, (0.0, 1.0), [1, 0]),
    "0²": (mg.pow, (0.0, 2.0), [0, 0]),
    "0⁻¹": (mg.pow, (0.0, -1.0), [-inf, -inf]),
    "√0": (mg.pow, (0.0, 0.5), [inf, 0]),
    "2⁰": (mg.pow, (2.0, 0.0), [0, math.log(2)]),
    "NaN⁰": (mg.pow, (nan, 0.0), [0, nan]),
    "(-2)³": (lambda a: mg.pow(a, 3), (-2.0,), [12]),
    "x⁰ at NaN": (lambda a: a**0, (nan,), [0]),
    "0ˣ at 1": (lambda b: mg.pow(0, b), (1.0,), [0]),
    "2ˣ at 1": (lambda b: 2**b, (1.0,), [2 * math.log(2)]),
    "clip at its lower bound": (lambda x: mg.clip(x, 0.0, 1.0), (0.0,), [1]),
    "clip at its upper bound": (lambda x: mg.clip(x, 0.0, 1.0), (1.0,), [1]),
    "clip below": (mg.clip, (0.0, 1.0, 2.0), [0, 1, 0]),
    "clip inside": (mg.clip, (1.5, 1.0, 2.0), [1, 0, 0]),
    "clip above": (mg.clip, (3.0, 1.0, 2.0), [0, 0, 1]),
    "clip between crossed bounds": (mg.clip, (1.5, 2.0, 1.0), [0, 0, 1]),
}


@pytest.mark.parametrize("case", SLOPES)
def test_singular_points_follow_pytorchs_convention(case: str) -> None:
    function, at, expected = SLOPES[case]
    np.testing.assert_allclose(_slopes(function, *at), expected, rtol=1e-12)


@pytest.mark.parametrize(("exponent", "expected"), [(0, 0), (1, 0), (2, 2), (3, 0)])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_powers_have_their_second_derivative_at_zero(exponent: int, expected: float, as_tensor: bool) -> None:
    power: Any = mg.tensor(float(exponent), dtype=mg.float64) if as_tensor else exponent
    assert _curvature(lambda x: x**power, 0.0) == expected


@pytest.mark.parametrize("name", ["sign", "floor", "ceil", "round", "trunc"])
@pytest.mark.parametrize("at", [0.0, 0.5, inf, nan])
def test_steps_have_a_slope_of_zero_whatever_comes_back(name: str, at: float) -> None:
    x = _float64(at)
    getattr(mg, name)(x).backward(mg.tensor(inf, dtype=mg.float64))
    assert x.grad is not None and x.grad.item() == 0


@given(data=st.data())
def test_clip_and_lerp_derivatives_agree_with_differences_for_all_arguments(data: st.DataObject) -> None:
    shapes = data.draw(strategies.broadcasting_shapes(3))
    a, b, c = (data.draw(strategies.arrays(shape)) for shape in shapes)
    assert gradcheck(mg.lerp, (a, b, c), order=2)
    low, high = np.minimum(b, -0.1), np.maximum(c, 0.1)
    if np.min(np.abs(a - low), initial=1) > 1e-3 and np.min(np.abs(a - high), initial=1) > 1e-3:
        assert gradcheck(lambda x, low, high: mg.clip(x, low, high) * x, (a, low, high), order=2)


@given(data=st.data())
def test_clip_values_are_numpys(data: st.DataObject) -> None:
    dtype = data.draw(strategies.dtypes("iuf"))
    x, low, high = (data.draw(strategies.arrays(s, dtype, 0, 50)) for s in data.draw(strategies.broadcasting_shapes(3)))
    for bounds in ((low, high), (low, None), (None, high), (3, 20)):
        result = mg.clip(mg.asarray(x), *bounds)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result.numpy(), np.clip(x, *bounds))
    np.testing.assert_array_equal(mg.clip(x).numpy(), x)


def test_lerp_reaches_its_end_exactly() -> None:
    start, end = mg.tensor([0.1, 1e8]), mg.tensor([0.3, 0.7])
    np.testing.assert_array_equal(mg.lerp(start, end, 1.0).numpy(), end.numpy())
    np.testing.assert_array_equal(mg.lerp(start, end, 0.0).numpy(), start.numpy())


def test_round_supports_decimals_and_leaves_integers_unchanged() -> None:
    np.testing.assert_allclose(mg.round(mg.tensor([1.25, -2.675]), 1).numpy(), [1.2, -2.7], rtol=1e-6)
    for function in (mg.round, mg.floor, mg.ceil, mg.trunc):
        assert function(mg.tensor([1, 2])).dtype == mg.int64
    np.testing.assert_array_equal(mg.round(mg.tensor([15, 25]), -1).numpy(), [20, 20])


def test_integers_to_negative_integers_are_an_error() -> None:
    with pytest.raises(ValueError, match="negative integer powers"):
        mg.tensor([2]) ** -1


def test_float_power_computes_in_float64() -> None:
    result = mg.float_power(mg.tensor([2, 3]), 0.5)
    assert result.dtype == mg.float64
    np.testing.assert_allclose(result.numpy(), np.array([2.0, 3.0]) ** 0.5, rtol=1e-15)


def test_nan_to_num_replaces_by_what_is_given() -> None:
    x = mg.tensor([nan, inf, -inf, 1.0])
    np.testing.assert_array_equal(mg.nan_to_num(x, 5.0, 6.0, 7.0).numpy(), [5, 6, 7, 1])
    info = mg.finfo(mg.float32)
    np.testing.assert_array_equal(mg.nan_to_num(x).numpy(), [0, info.max, info.min, 1])


def test_python_and_numpy_scalars_leave_float32_as_it_is() -> None:
    x = mg.ones(3)
    for result in (x * 2, x * 2.5, 2.5 - x, x / np.sqrt(64), x**2, mg.where(x > 0, x, 0.0), x * np.float64(3)):
        assert result.dtype == mg.float32
    for result in (mg.hypot(x, 2.0), mg.atan2(1, x), mg.logaddexp(x, 0.5), mg.xlogy(2, x), mg.clip(x, 0, 0.5)):
        assert result.dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) * 2.5).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) + x).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.int64) / 2).dtype == mg.float32
    assert (mg.ones(3, dtype=mg.float64) + x).dtype == mg.float64


def test_fractional_powers_and_their_gradients_stay_float32() -> None:
    assert (mg.tensor([1, 2]) * np.float32(2.5)).dtype == mg.float32
    assert mg.abs(-1.5).dtype == mg.float32
    x = mg.ones(2).requires_grad_()
    seen: list[object] = []
    middle = x * 1
    middle.register_hook(lambda g: seen.append(g.dtype))
    (middle**2.5).sum().backward()
    assert seen == [mg.float32]


def test_a_python_number_to_a_float64_power_loses_no_digits() -> None:
    assert _slopes(lambda b: mg.pow(3, b), 1.0) == [3 * math.log(3)]


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
    np.testing.assert_allclose(mg.log_sigmoid(x).numpy(), [-1000, -np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(mg.logit(mg.tensor([0.0, 1.0]), eps=0.5).numpy(), [0, 0])


@pytest.mark.parametrize(
    "name", ["floor_divide", "remainder", "maximum", "minimum", "gcd", "lcm", "add", "subtract", "multiply"]
)
@settings(max_examples=8)  # of each row of the table
@given(data=st.data())
def test_integer_operations_are_numpys_for_every_integer_dtype(name: str, data: st.DataObject) -> None:
    dtype = data.draw(strategies.dtypes("iu"))
    shapes = data.draw(strategies.broadcasting_shapes())
    a, b = (data.draw(strategies.arrays(shape, dtype, 1, 100)) for shape in shapes)
    result = getattr(mg, name)(mg.asarray(a), mg.asarray(b))
    expected = getattr(np, name)(a, b)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)


def test_all_tensors_are_real() -> None:
    x = mg.tensor([1.0, 2.0])
    assert mg.real(x) is x and mg.conj(x) is x
    with pytest.raises(TypeError, match="complex numbers"):
        mg.imag(x)


def test_astype_copies_by_default_and_refuses_dtypes_that_are_not_real() -> None:
    x = mg.ones(2)
    assert mg.astype(x, mg.float32, copy=False) is x
    assert mg.astype(x, mg.float32).data is not x.data
    with pytest.raises(TypeError, match="complex"):
        mg.astype(x, np.complex64)
    with pytest.raises(ValueError, match="device"):
        mg.astype(x, mg.float32, device="gpu")  # type: ignore[arg-type]
    assert gradcheck(lambda x: mg.astype(mg.astype(x, mg.float32), mg.float64), np.ones(3), atol=1e-2, rtol=1e-1)


# Derivatives whose formula has squares or products that leave float32's range, at points where the result does not
FAR: dict[str, tuple[Callable[..., Any], list[tuple[float, ...]]]] = {
    "divide": (mg.divide, [(1e20, 1e20), (1e-30, 1e-25), (1.0, 1e19), (3e38, 1e38)]),
    "hypot": (mg.hypot, [(1e30, 1e30), (1e-30, 1e-30), (3e-23, 4e-23)]),
    "atan2": (mg.atan2, [(1e25, 1e25), (1e-25, 1e-25), (1e30, 1.0)]),
    "atan": (mg.atan, [(1e20,), (3e18,)]),
    "asinh": (mg.asinh, [(1e25,), (-1e30,)]),
    "acosh": (mg.acosh, [(1e25,), (3e38,)]),
    "square": (mg.square, [(1e30,), (1e-30,)]),
    "sqrt": (mg.sqrt, [(1e30,), (1e-30,)]),
    "reciprocal": (mg.reciprocal, [(1e10,), (1e-15,)]),
}


@pytest.mark.parametrize("name", FAR)
def test_no_intermediate_of_a_derivative_leaves_the_range_where_the_result_does_not(name: str) -> None:
    function, points = FAR[name]
    for point in points:
        found, exact = [], []
        for gradients, dtype in ((found, mg.float32), (exact, mg.float64)):
            leaves = [mg.tensor(value, dtype=dtype, requires_grad=True) for value in point]
            with np.errstate(over="ignore", under="ignore"):
                function(*leaves).backward()
            gradients += [float(leaf.grad.numpy()) for leaf in leaves if leaf.grad is not None]
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-44)


@given(
    start=st.sampled_from([-np.inf, np.inf, 0.0, 1.0]),
    end=st.sampled_from([-np.inf, np.inf, 0.0, 1.0]),
    weight=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_lerp_hits_its_ends_and_stays_between_equal_ones(start: float, end: float, weight: float) -> None:
    with np.errstate(invalid="ignore"):
        value = mg.lerp(mg.tensor(start), mg.tensor(end), mg.tensor(weight)).item()
    if weight in (0.0, 1.0) or start == end:
        assert value == (end if weight == 1 else start)
    elif np.isfinite(start) and np.isfinite(end):
        assert value == start + weight * (end - start)
