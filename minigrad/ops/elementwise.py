"""Elementwise arithmetic and functions of real numbers: each a row of a table, forward beside derivative.

At singular points PyTorch's convention holds: ``abs``, ``relu`` and ``hypot`` have derivative 0 at 0, ties of
``maximum`` and ``minimum`` share the gradient evenly, ``clip`` passes it at its bounds.
"""

from __future__ import annotations

import math
import operator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minigrad import kernels
from minigrad.dtypes import check_device, float64
from minigrad.engine.dtypes import supported
from minigrad.engine.primitive import Primitive, add, cast
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.batching import aligned
from minigrad.ops.comparisons import isfinite, isinf, logical_and, logical_not, no_slope, where
from minigrad.ops.primitive import primitive
from minigrad.ops.tables import binary, floating, unary

__all__ = ["add", "divide", "float_power", "floor_divide", "fmod", "gcd", "lcm", "lerp", "multiply", "negative"]
__all__ += ["positive", "pow", "reciprocal", "remainder", "square", "subtract"]
__all__ += ["abs", "clip", "copysign", "fabs", "fmax", "fmin", "hypot", "maximum", "minimum", "nan_to_num", "relu"]
__all__ += ["ceil", "floor", "heaviside", "nextafter", "round", "sign", "trunc"]
__all__ += ["cbrt", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2", "rsqrt", "sqrt"]
__all__ += ["log_sigmoid", "sigmoid", "softplus"]
__all__ += ["acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "sin", "sinh", "tan", "tanh"]
__all__ += ["deg2rad", "rad2deg"]
__all__ += ["astype"]

# Arithmetic

subtract = binary(np.subtract, "subtract", lambda g: g, lambda g: -g)
multiply = binary(np.multiply, "multiply", lambda g, b: g * b, lambda g, a: g * a)
divide = binary(np.true_divide, "divide", lambda g, b: g / b, lambda g, b, out: -g / b * out, "floating")
floor_divide = binary(np.floor_divide, "floor_divide", no_slope, no_slope)
remainder = binary(np.remainder, "remainder", lambda g: g, lambda g, a, b: -g * floor_divide(a, b))
fmod = binary(np.fmod, "fmod", lambda g: g, lambda g, a, b: -g * trunc(a / b))
gcd = binary(np.gcd, "gcd")
lcm = binary(np.lcm, "lcm")
positive = unary(np.positive, "positive", lambda g: g)
negative = unary(np.negative, "negative", lambda g: -g)
square = unary(np.square, "square", lambda g, x: 2 * (g * x))
reciprocal = floating(np.reciprocal, "reciprocal", lambda g, out: -g * out * out)


def _pow_base(g: Any, a: Any, b: Any) -> Any:
    """Derivative of pow by its base: b · aᵇ⁻¹; 0 where b = 0, for any a."""
    if isinstance(b, (int, float)):
        return g * (b * pow(a, b - 1)) if b else no_slope(g)
    return g * (b * pow(where(logical_and(b == 0, logical_not(abs(a) > 0)), 1, a), b - 1))


def _pow_exponent(g: Any, out: Any, a: Any, b: Any) -> Any:
    """Derivative of pow by its exponent: aᵇ · log a; 0 where a = 0 and b ≥ 0."""
    if isinstance(a, (int, float)) and a:
        return g * (out * float(np.log(a)))
    zero = (a == 0) & (b >= 0)
    return g * where(zero, 0, out * log(where(zero, 1, a)))


# The operator: it has shortcuts for exponents such as 2 that np.power lacks.
pow: Primitive = binary(operator.pow, "pow", _pow_base, _pow_exponent)
pow.__doc__ = (
    """``a`` to the power of ``b``. Integers to negative integers are an error: their results are no integers."""
)


def float_power(x1: Any, x2: Any, /) -> Any:
    """Power ``x1 ** x2``, always computed in float64."""
    return pow(astype(x1, float64), astype(x2, float64))


@primitive(dtypes="floating", batching=aligned)
def lerp(start: Array, end: Array, weight: Array, /) -> Array:
    """Linear interpolation ``start + weight · (end - start)``, exact at weights 0 and 1, also of infinite values."""
    with np.errstate(invalid="ignore"):  # of infinities that cancel out, in elements that are not selected
        step = end - start
        between = np.where(np.abs(weight) < 0.5, start + weight * step, end - step * (1 - weight))
    return np.where((weight == 0) | (start == end), start, np.where(weight == 1, end, between))


lerp.vjp(
    start=lambda g, weight: g * (1 - weight),
    end=lambda g, weight: g * weight,
    weight=lambda g, start, end: g * (end - start),
)

# Sizes and bounds

maximum = binary(
    np.maximum,
    "maximum",
    lambda g, a, b: where(a == b, g / 2, where(a < b, 0, g)),
    lambda g, a, b: where(a == b, g / 2, where(b < a, 0, g)),
)
minimum = binary(
    np.minimum,
    "minimum",
    lambda g, a, b: where(a == b, g / 2, where(b < a, 0, g)),
    lambda g, a, b: where(a == b, g / 2, where(a < b, 0, g)),
)
# Of these two the first operand has the whole gradient of a tie, as in PyTorch.
fmax = binary(
    np.fmax,
    "fmax",
    lambda g, a, b: where((a >= b) | (b != b), g, 0),
    lambda g, a, b: where((a >= b) | (b != b), 0, g),
)
fmin = binary(
    np.fmin,
    "fmin",
    lambda g, a, b: where((a <= b) | (b != b), g, 0),
    lambda g, a, b: where((a <= b) | (b != b), 0, g),
)
abs = unary(np.abs, "abs", lambda g, x: g * sign(x))
fabs = floating(np.abs, "fabs", lambda g, x: g * sign(x))
copysign = binary(np.copysign, "copysign", lambda g, a, out: g * (sign(a) * sign(out)), no_slope, "floating")


def _relu(x: Array) -> Array:
    """ReLU: max(x, 0)."""
    return kernels.relu(x) if x.dtype.kind == "f" else np.maximum(x, 0)


@primitive(batching=aligned)
def _relu_vjp(h: Array, y: Array, /) -> Array:
    """ReLU's derivative: ``h`` where the result y is not 0."""
    return kernels.relu_backward(*np.broadcast_arrays(h, y))


_relu_vjp.vjp(h=lambda g, y: _relu_vjp(g, y))
relu = unary(_relu, "relu", lambda g, out: _relu_vjp(g, out))


def _over_length(g: Any, side: Any, out: Any) -> Any:
    """Derivative of hypot, side / length; 0 at length 0."""
    return where(out == 0, 0, g * (side / where(out == 0, 1, out)))


hypot = binary(
    np.hypot, "hypot", lambda g, a, out: _over_length(g, a, out), lambda g, b, out: _over_length(g, b, out), "floating"
)


@primitive(dtypes="numeric", batching=aligned)
def _clip(x: Array, min: Array | None, max: Array | None, /) -> Array:
    return np.clip(x, min, max)


def _clip_value(g: Any, x: Any, min: Any, max: Any) -> Any:
    inside = True if min is None else x >= min
    return where(inside if max is None else inside & (x <= max), g, 0)


_clip.vjp(
    x=_clip_value,
    min=lambda g, x, min, max: where((x < min) if max is None else (x < min) & (min <= max), g, 0),
    max=lambda g, x, min, max: where((x > max) if min is None else (x > max) | (max < min), g, 0),
)
_clip.name = "clip"


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """Clip values to [min, max]; the gradient passes inside and at the bounds, else to the bound that replaced a value.

    Args:
        x: any shape.
        min, max: numbers or arrays that broadcast against ``x``; None for no bound. Where they cross, ``max`` wins.

    Example:
        >>> import minigrad as mg
        >>> mg.clip(mg.tensor([-2.0, 0.5, 2.0]), -1, mg.tensor([1.0, 0.0, 1.0]))
        tensor([-1.,  0.,  1.])
    """
    if min is None and max is None:
        return positive(x)
    return _clip(x, min, max)


@primitive(dtypes="numeric", batching=aligned)
def nan_to_num(x: Array, /, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """Replace NaN and infinities, by 0 and the dtype's largest and smallest numbers unless others are given."""
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


nan_to_num.vjp(x=lambda g, x: where(isfinite(x), g, 0))

# Steps: their derivative is zero wherever it exists


@primitive(dtypes="numeric", batching=aligned)
def round(x: Array, /, decimals: int = 0) -> Array:
    """Round to a number of decimals, halves to even; integers are unchanged."""
    return np.round(x, decimals) if x.dtype.kind == "f" or decimals < 0 else x.copy()


round.vjp(x=no_slope)
sign: Primitive = unary(np.sign, "sign", no_slope)
floor = unary(np.floor, "floor", no_slope)
ceil = unary(np.ceil, "ceil", no_slope)
trunc: Primitive = unary(np.trunc, "trunc", no_slope)
heaviside = binary(np.heaviside, "heaviside", no_slope, lambda g, a: where(a == 0, g, 0), "floating")
nextafter = binary(np.nextafter, "nextafter", lambda g: g, no_slope, "floating")

# Exponentials and logarithms


def _sigmoid(x: Array) -> Array:
    """Logistic sigmoid, 1 / (1 + e^-x)."""
    return kernels.sigmoid(x)


@primitive(batching=aligned)
def _sigmoid_vjp(h: Array, y: Array, /) -> Array:
    """Sigmoid's derivative, h · y · (1 - y)."""
    return kernels.sigmoid_backward(*np.broadcast_arrays(h, y))


_sigmoid_vjp.vjp(h=lambda g, y: _sigmoid_vjp(g, y), y=lambda g, h, y: g * h * (1 - 2 * y))


def _softplus(x: Array) -> Array:
    """Softplus, log(1 + e^x)."""
    return kernels.activation(kernels.Softplus(1.0, math.inf), x)


def _log_sigmoid(x: Array) -> Array:
    """Log-sigmoid, log(1 / (1 + e^-x)) = -log(1 + e^-x)."""
    return kernels.activation(kernels.Softplus(-1.0, math.inf), x)


def _ahead(a: Any, b: Any) -> Any:
    """Difference a - b, 0 between equal infinities."""
    return where((a == b) & isinf(a), 0, a - b)


exp: Primitive = floating(np.exp, "exp", lambda g, out: g * out)
exp2 = floating(np.exp2, "exp2", lambda g, out: g * (out * math.log(2)))
expm1 = floating(np.expm1, "expm1", lambda g, out: g * (out + 1))
log: Primitive = floating(np.log, "log", lambda g, x: g / x)
log1p = floating(np.log1p, "log1p", lambda g, x: g / (1 + x))
log2 = floating(np.log2, "log2", lambda g, x: g / (x * math.log(2)))
log10 = floating(np.log10, "log10", lambda g, x: g / (x * math.log(10)))
logaddexp = binary(
    np.logaddexp,
    "logaddexp",
    lambda g, a, b: g * sigmoid(_ahead(a, b)),
    lambda g, a, b: g * sigmoid(_ahead(b, a)),
    "floating",
)
logaddexp2 = binary(
    np.logaddexp2,
    "logaddexp2",
    lambda g, a, b: g * sigmoid(_ahead(a, b) * math.log(2)),
    lambda g, a, b: g * sigmoid(_ahead(b, a) * math.log(2)),
    "floating",
)
sqrt = floating(np.sqrt, "sqrt", lambda g, out: g / (2 * out))
rsqrt = floating(lambda x: 1 / np.sqrt(x), "rsqrt", lambda g, out: g * (-0.5 * out * out * out))
rsqrt.__doc__ = "One over the square root."
cbrt = floating(np.cbrt, "cbrt", lambda g, out: g / (3 * out * out))
sigmoid: Primitive = floating(_sigmoid, "sigmoid", lambda g, out: _sigmoid_vjp(g, out))
log_sigmoid = floating(_log_sigmoid, "log_sigmoid", lambda g, x: g * sigmoid(-x))
softplus = floating(_softplus, "softplus", lambda g, x: g * sigmoid(x))

# Trigonometric and hyperbolic functions

sin = floating(np.sin, "sin", lambda g, x: g * cos(x))
cos: Primitive = floating(np.cos, "cos", lambda g, x: -g * sin(x))
tan = floating(np.tan, "tan", lambda g, out: g * (1 + out * out))
asin = floating(np.arcsin, "asin", lambda g, x: g / sqrt((1 - x) * (1 + x)))
acos = floating(np.arccos, "acos", lambda g, x: -g / sqrt((1 - x) * (1 + x)))
atan = floating(np.arctan, "atan", lambda g, x: g / hypot(1, x) / hypot(1, x))
sinh = floating(np.sinh, "sinh", lambda g, x: g * cosh(x))
cosh: Primitive = floating(np.cosh, "cosh", lambda g, x: g * sinh(x))
tanh = floating(np.tanh, "tanh", lambda g, out: g * (1 - out * out))
asinh = floating(np.arcsinh, "asinh", lambda g, x: g / hypot(1, x))
acosh = floating(np.arccosh, "acosh", lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)))
atanh = floating(np.arctanh, "atanh", lambda g, x: g / ((1 - x) * (1 + x)))
deg2rad = floating(np.deg2rad, "deg2rad", lambda g: g * (math.pi / 180))
rad2deg = floating(np.rad2deg, "rad2deg", lambda g: g * (180 / math.pi))


def _over_square_of_length(g: Any, side: Any, a: Any, b: Any) -> Any:
    """Derivative of atan2, g · side / (a² + b²); 0 at the origin."""
    length = hypot(a, b)
    length = where(length == 0, 1, length)
    return g * (side / length) / length


atan2 = binary(
    np.arctan2,
    "atan2",
    lambda g, a, b: _over_square_of_length(g, b, a, b),
    lambda g, a, b: _over_square_of_length(-g, a, a, b),
    "floating",
)

# Dtypes


def astype(x: Any, dtype: npt.DTypeLike, /, *, copy: bool = True, device: Literal["cpu"] | None = None) -> Tensor:
    """Cast ``x`` to another dtype; gradients are cast back to the dtype of ``x``.

    Args:
        x: an array of any shape.
        dtype: the dtype wanted.
        copy: False returns ``x`` itself when it has that dtype already.
        device: ``"cpu"``, the only one.

    Raises:
        TypeError: ``dtype`` is not boolean, integer or real floating.
    """
    check_device(device)
    dtype = supported(dtype)
    if not copy and isinstance(x, Tensor) and x.dtype == dtype:
        return x
    result: Tensor = cast(x, dtype)
    return result
