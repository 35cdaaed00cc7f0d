"""Activations with parameters, and their gradients: one kernel each way, compiled for the function's type.

A function is a named tuple of its parameters, whose type chooses the formula. The formulas select between values that
are at hand, without branches, so that LLVM turns the loop over them into vector code.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from minigrad.kernels.compiling.arguments import check_floats, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.elementwise.activations import CONTRACT, WORK, sigmoid_of, sigmoids
from minigrad.kernels.elementwise.exponential import exp_nonpositive, expm1_nonpositive


class PiecewiseLinear(NamedTuple):
    """Three lines, of x ≤ ``low``, between, and of x ≥ ``high``: slope · (x + offset), the offset where that is 0."""

    low: float
    high: float
    left_slope: float
    left_offset: float
    slope: float
    offset: float
    right_slope: float
    right_offset: float


class Shrink(NamedTuple):
    """0 where ``|x| ≤ width``, elsewhere x moved towards 0 by ``shift``."""

    width: float
    shift: float


class ExponentialLinear(NamedTuple):
    """``scale`` · x where x > 0, ``scale · alpha · (e^(sharpness · x) - 1)`` elsewhere; the sharpness is positive."""

    alpha: float
    sharpness: float
    scale: float


class Softplus(NamedTuple):
    """log(1 + e^(beta · x)) / beta; x itself where beta · x is above ``threshold``."""

    beta: float
    threshold: float


class HardSwish(NamedTuple):
    """x · (x + ``half``) / (2 · ``half``) where ``|x| < half``, 0 below and x above."""

    half: float


class Mish(NamedTuple):
    """x · tanh(log(1 + e^(``sharpness`` · x)))."""

    sharpness: float


# Values and slopes of one number, only for use inside kernels


def _line(f, x):
    number = type(x)
    left = number(f.left_offset) if f.left_slope == 0 else number(f.left_slope) * (x + number(f.left_offset))
    right = number(f.right_offset) if f.right_slope == 0 else number(f.right_slope) * (x + number(f.right_offset))
    middle = number(f.slope) * (x + number(f.offset))
    inner = right if x >= number(f.high) else middle
    return left if x <= number(f.low) else inner


def _line_slope(f, x):
    number = type(x)
    inner = number(f.right_slope) if x >= number(f.high) else number(f.slope)
    return number(f.left_slope) if x <= number(f.low) else inner


def _shrink(f, x):
    number = type(x)
    down, up = x - number(f.shift), x + number(f.shift)
    moved = up if x < 0 else down
    return number(0) if abs(x) <= number(f.width) else moved


def _shrink_slope(f, x):
    number = type(x)
    return number(0) if abs(x) <= number(f.width) else number(1)


def _exponential_linear(f, x):
    number = type(x)
    below = number(0) if x > 0 else x
    bent = number(f.scale * f.alpha) * expm1_nonpositive(number(f.sharpness) * below)
    straight = number(f.scale) * x
    return straight if x > 0 else bent


def _exponential_linear_slope(f, x):
    number = type(x)
    below = number(0) if x > 0 else x
    bent = number(f.scale * f.alpha * f.sharpness) * exp_nonpositive(number(f.sharpness) * below)
    return number(f.scale) if x > 0 else bent


def _softplus(f, x):
    number = type(x)
    z = number(f.beta) * x
    above = number(0) if z <= 0 else z
    smooth = (above + log1p_unit(exp_nonpositive(-abs(z)))) / number(f.beta)
    return x if z > number(f.threshold) else smooth


def _softplus_slope(f, x):
    number = type(x)
    z = number(f.beta) * x
    smooth = sigmoid_of(z)
    return number(1) if z > number(f.threshold) else smooth


def _hard_swish(f, x):
    number = type(x)
    half = number(f.half)
    curve = x * (x + half) / (half + half)
    inner = curve if x < half else x
    return number(0) if x <= -half else inner


def _hard_swish_slope(f, x):
    number = type(x)
    half = number(f.half)
    curve = (x + x + half) / (half + half)
    inner = curve if x < half else number(1)
    return number(0) if x <= -half else inner


def _mish(f, x):
    return x * tanh_of_softplus(type(x)(f.sharpness) * x)[0]


def _mish_slope(f, x):
    number = type(x)
    z = number(f.sharpness) * x
    t, rest = tanh_of_softplus(z)
    return t + z * sigmoids(z)[0] * rest * (number(1) + t)


@kernel(fastmath=CONTRACT)
def tanh_of_softplus(x):
    """t = tanh(log(1 + eˣ)) and 1 - t, neither as a difference: with u = 1 + eˣ, t = (u² - 1) / (u² + 1)."""
    one, two = type(x)(1), type(x)(2)
    e = exp_nonpositive(-abs(x))
    high, low = one + two * e, e * (e + two)  # u² - 1, over e²ˣ where x > 0
    of_high, of_low = one / (high + two * e * e), one / (low + two)
    return (high * of_high if x > 0 else low * of_low), (two * e * e * of_high if x > 0 else two * of_low)


def log1p_unit(x):
    """log(1 + x) for x of [0, 1], to a few units in the last place."""
    raise NotImplementedError("compiled code only")


@overload(log1p_unit, jit_options={"fastmath": {"contract"}})
def _log1p_unit(x):
    terms = {types.float32: 8, types.float64: 17}.get(x, 0)

    def series(x):
        # log(1 + x) = 2 artanh(z): 2 (z + z³/3 + z⁵/5 + …), where z is at most 1/3. LLVM unrolls the loop.
        number = type(x)
        z = x / (number(2) + x)
        total = number(0)
        for n in range(2 * terms - 1, 0, -2):
            total = total * (z * z) + number(2) / number(n)
        return z * total

    return series if terms else None


FORMULAS: dict[type, tuple[Callable[..., Any], Callable[..., Any]]] = {
    PiecewiseLinear: (_line, _line_slope),
    Shrink: (_shrink, _shrink_slope),
    ExponentialLinear: (_exponential_linear, _exponential_linear_slope),
    Softplus: (_softplus, _softplus_slope),
    HardSwish: (_hard_swish, _hard_swish_slope),
    Mish: (_mish, _mish_slope),
}


def value_of(f, x):
    """The function's value."""
    raise NotImplementedError("compiled code only")


def slope_of(f, x):
    """The function's derivative."""
    raise NotImplementedError("compiled code only")


@overload(value_of, jit_options={"fastmath": {"contract"}})
def _value_of(f, x):
    return FORMULAS[f.instance_class][0]


@overload(slope_of, jit_options={"fastmath": {"contract"}})
def _slope_of(f, x):
    return FORMULAS[f.instance_class][1]


# Functions of arrays


def activation(f: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """An activation at every element.

    Args:
        f: one of this module's functions.
        x: of any shape, float32 or float64.

    >>> activation(Shrink(1.0, 1.0), np.array([-3.0, 0.5, 2.0]))
    array([-2.,  0.,  1.])
    """
    _check(f)
    check_floats(x=x)
    y = np.empty(x.shape, x.dtype)
    if x.size:
        _activation(f, np.ascontiguousarray(x).reshape(-1), y.reshape(-1), threads_for(WORK * x.size))
    return y


def activation_backward(f: tuple[float, ...], g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The gradient of ``activation``: g times the slope; 0 where that is 0, whatever g."""
    _check(f)
    check_floats(x=x, g=g)
    check_shape("g", g, x.shape)
    dx = np.empty(x.shape, x.dtype)
    if x.size:
        flat = (np.ascontiguousarray(array).reshape(-1) for array in (g, x))
        _activation_backward(f, *flat, dx.reshape(-1), threads_for(WORK * x.size))
    return dx


def _check(f: tuple[float, ...]) -> None:
    if type(f) not in FORMULAS:
        raise TypeError(f"f must be one of {', '.join(kind.__name__ for kind in FORMULAS)}; got {type(f).__name__}")


@kernel()
def _activation(f, x, y, parts):
    in_parallel(parts, _activation_part, (f, x, y))


@kernel(fastmath=CONTRACT)
def _activation_part(part, parts, f, x, y):
    first, last = share(len(x), part, parts)
    source, target = x[first:last], y[first:last]
    for i in range(len(source)):
        target[i] = value_of(f, source[i])


@kernel()
def _activation_backward(f, g, x, dx, parts):
    in_parallel(parts, _activation_backward_part, (f, g, x, dx))


@kernel(fastmath=CONTRACT)
def _activation_backward_part(part, parts, f, g, x, dx):
    first, last = share(len(x), part, parts)
    gradient, source, target = g[first:last], x[first:last], dx[first:last]
    for i in range(len(source)):
        slope = slope_of(f, source[i])
        passed = gradient[i] * slope
        target[i] = x.dtype.type(0) if slope == 0 else passed
