"""Element-by-element operations, each a row of a table: its forward on arrays and its derivative.

At singular points PyTorch's convention holds: ``abs`` and ``relu`` have derivative 0 at 0, ties of ``maximum`` and
``minimum`` share the gradient evenly, ``clip`` passes it at its bounds, unused branches of ``where`` get 0.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.ops.batching import aligned
from minigrad.ops.primitive import Primitive, Promotion, primitive, promote
from minigrad.tensor import Array, Tensor, as_array

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "pow",
    "reciprocal",
    "relu",
    "remainder",
    "round",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "where",
]

_UNARY = inspect.signature(lambda x, /: ...)
_BINARY = inspect.signature(lambda a, b, /: ...)


def _unary(forward: Callable[..., Any], name: str, vjp: Callable[..., Any] | None, dtypes: Promotion) -> Primitive:
    op = Primitive(forward, name, _UNARY, dtypes, batching=aligned)
    if vjp is not None:
        op.vjp(x=vjp)
    return op


def _floating(forward: Callable[..., Any], name: str, vjp: Callable[..., Any]) -> Primitive:
    """A function of the real numbers: integers become float32 first."""
    return _unary(forward, name, vjp, "floating")


def _binary(
    forward: Callable[..., Any],
    name: str,
    a: Callable[..., Any] | None = None,
    b: Callable[..., Any] | None = None,
    dtypes: Promotion = "numeric",
) -> Primitive:
    op = Primitive(forward, name, _BINARY, dtypes, batching=aligned)
    op.vjp(**{name: rule for name, rule in (("a", a), ("b", b)) if rule is not None})
    return op


# Choosing


@primitive(batching=aligned)
def where(condition: Array, a: Array, b: Array, /) -> Array:
    """``a`` where the condition holds, ``b`` elsewhere; the branch not taken gets a gradient of 0."""
    a, b = promote([a, b], floating=False)
    return np.where(condition, a, b)


where.vjp(a=lambda g, condition: where(condition, g, 0), b=lambda g, condition: where(condition, 0, g))

# Arithmetic

add = _binary(np.add, "add", lambda g: g, lambda g: g)
subtract = _binary(np.subtract, "subtract", lambda g: g, lambda g: -g)
multiply = _binary(np.multiply, "multiply", lambda g, b: g * b, lambda g, a: g * a)
divide = _binary(np.true_divide, "divide", lambda g, b: g / b, lambda g, a, b: -g * a / (b * b), "floating")
floor_divide = _binary(np.floor_divide, "floor_divide")
remainder = _binary(np.remainder, "remainder", lambda g: g, lambda g, a, b: -g * floor(a / b))
pow: Primitive = _binary(
    np.power,
    "pow",
    lambda g, a, b: g * b * pow(a, b - (b != 0)),  # b - 1, but 0 · a⁰ where b = 0
    lambda g, out, a, b: g * where((a == 0) & (b >= 0), 0, out * log(where(a == 0, 1, a))),
)
maximum = _binary(
    np.maximum,
    "maximum",
    lambda g, a, b: where(a == b, g / 2, where(a < b, 0, g)),
    lambda g, a, b: where(a == b, g / 2, where(b < a, 0, g)),
)
minimum = _binary(
    np.minimum,
    "minimum",
    lambda g, a, b: where(a == b, g / 2, where(b < a, 0, g)),
    lambda g, a, b: where(a == b, g / 2, where(a < b, 0, g)),
)
negative = _unary(np.negative, "negative", lambda g: -g, "numeric")
abs = _unary(np.abs, "abs", lambda g, x: g * sign(x), "numeric")
square = _unary(np.square, "square", lambda g, x: g * (2 * x), "numeric")
reciprocal = _floating(np.reciprocal, "reciprocal", lambda g, out: -g * out * out)

# Without slope: integers, booleans, or steps whose derivative is zero wherever it exists

sign: Primitive = _unary(np.sign, "sign", lambda g: g * 0, "numeric")
floor: Primitive = _unary(np.floor, "floor", lambda g: g * 0, "numeric")
ceil = _unary(np.ceil, "ceil", lambda g: g * 0, "numeric")
round = _unary(np.round, "round", lambda g: g * 0, "numeric")
trunc = _unary(np.trunc, "trunc", lambda g: g * 0, "numeric")
isnan = _unary(np.isnan, "isnan", None, "numeric")
isinf = _unary(np.isinf, "isinf", None, "numeric")
isfinite = _unary(np.isfinite, "isfinite", None, "numeric")
logical_not = _unary(np.logical_not, "logical_not", None, "numeric")
equal = _binary(np.equal, "equal")
not_equal = _binary(np.not_equal, "not_equal")
less = _binary(np.less, "less")
less_equal = _binary(np.less_equal, "less_equal")
greater = _binary(np.greater, "greater")
greater_equal = _binary(np.greater_equal, "greater_equal")
logical_and = _binary(np.logical_and, "logical_and", dtypes="keep")
logical_or = _binary(np.logical_or, "logical_or", dtypes="keep")
logical_xor = _binary(np.logical_xor, "logical_xor", dtypes="keep")
bitwise_and = _binary(np.bitwise_and, "bitwise_and")
bitwise_or = _binary(np.bitwise_or, "bitwise_or")
bitwise_xor = _binary(np.bitwise_xor, "bitwise_xor")
bitwise_invert = _unary(np.invert, "bitwise_invert", None, "numeric")

# Exponentials and logarithms


def _sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), from the side on which the exponential cannot overflow."""
    decay = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, decay) / (1 + decay)
    return result


def _softplus(x: Array) -> Array:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
    result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


exp = _floating(np.exp, "exp", lambda g, out: g * out)
expm1 = _floating(np.expm1, "expm1", lambda g, out: g * (out + 1))
log: Primitive = _floating(np.log, "log", lambda g, x: g / x)
log1p = _floating(np.log1p, "log1p", lambda g, x: g / (1 + x))
log2 = _floating(np.log2, "log2", lambda g, x: g / (x * float(np.log(2))))
log10 = _floating(np.log10, "log10", lambda g, x: g / (x * float(np.log(10))))
sqrt = _floating(np.sqrt, "sqrt", lambda g, out: g / (2 * out))
sigmoid = _floating(_sigmoid, "sigmoid", lambda g, out: g * out * (1 - out))
softplus = _floating(_softplus, "softplus", lambda g, x: g * sigmoid(x))

# Trigonometric and hyperbolic functions

sin = _floating(np.sin, "sin", lambda g, x: g * cos(x))
cos: Primitive = _floating(np.cos, "cos", lambda g, x: -g * sin(x))
tan = _floating(np.tan, "tan", lambda g, out: g * (1 + out * out))
asin = _floating(np.arcsin, "asin", lambda g, x: g / sqrt(1 - x * x))
acos = _floating(np.arccos, "acos", lambda g, x: -g / sqrt(1 - x * x))
atan = _floating(np.arctan, "atan", lambda g, x: g / (1 + x * x))
sinh = _floating(np.sinh, "sinh", lambda g, x: g * cosh(x))
cosh: Primitive = _floating(np.cosh, "cosh", lambda g, x: g * sinh(x))
tanh = _floating(np.tanh, "tanh", lambda g, out: g * (1 - out * out))
asinh = _floating(np.arcsinh, "asinh", lambda g, x: g / sqrt(x * x + 1))
acosh = _floating(np.arccosh, "acosh", lambda g, x: g / sqrt(x * x - 1))
atanh = _floating(np.arctanh, "atanh", lambda g, x: g / (1 - x * x))

# Cut off at bounds

relu = _unary(lambda x: np.maximum(x, 0), "relu", lambda g, out: g * (out > 0), "numeric")


@primitive(batching=aligned)
def clip(x: Array, /, min: float | None = None, max: float | None = None) -> Array:
    """Values limited to [min, max]; the gradient passes inside and at the bounds (PyTorch's convention)."""
    if min is None and max is None:
        return x.copy()
    return np.clip(x, min, max)


@clip.joint_vjp
def _clip_vjp(g: Any, x: Any, min: float | None, max: float | None) -> list[Any]:
    if min is not None:
        g = where(x >= min, g, 0)
    if max is not None:
        g = where(x <= max, g, 0)
    return [g]


@primitive(batching=aligned)
def _cast(x: Array, /, dtype: npt.DTypeLike) -> Array:
    return x.astype(dtype)


_cast.vjp(x=lambda g: g)
_cast.name = "astype"


def astype(x: Any, dtype: npt.DTypeLike, copy: bool = True) -> Tensor:
    """``x`` with another dtype; gradients return in the dtype of ``x``.

    Args:
        x: an array of any shape.
        dtype: the dtype wanted.
        copy: False returns ``x`` itself when it has that dtype already.
    """
    if not copy and as_array(x).dtype == np.dtype(dtype) and isinstance(x, Tensor):
        return x
    result: Tensor = _cast(x, np.dtype(dtype))
    return result
