"""Elementwise comparisons, predicates, logical and bitwise functions, and selection by a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.promotion import beside, promote
from minigrad.engine.tensor import Array, Tensor, as_array
from minigrad.ops.arguments import all_beside, as_truth, shape_of
from minigrad.ops.batching import aligned
from minigrad.ops.primitive import primitive
from minigrad.ops.tables import binary, unary

__all__ = ["equal", "greater", "greater_equal", "less", "less_equal", "not_equal"]
__all__ += ["allclose", "array_equal", "isclose", "isfinite", "isinf", "isnan", "signbit"]
__all__ += ["logical_and", "logical_not", "logical_or", "logical_xor"]
__all__ += ["bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor"]
__all__ += ["nonzero", "select", "where"]

equal = binary(np.equal, "equal")
not_equal = binary(np.not_equal, "not_equal")
less = binary(np.less, "less")
less_equal = binary(np.less_equal, "less_equal")
greater = binary(np.greater, "greater")
greater_equal = binary(np.greater_equal, "greater_equal")

isnan = unary(np.isnan, "isnan")
isinf = unary(np.isinf, "isinf")
isfinite = unary(np.isfinite, "isfinite")
signbit = unary(np.signbit, "signbit")

logical_not = unary(np.logical_not, "logical_not")
logical_and = binary(np.logical_and, "logical_and", dtypes="keep")
logical_or = binary(np.logical_or, "logical_or", dtypes="keep")
logical_xor = binary(np.logical_xor, "logical_xor", dtypes="keep")

bitwise_invert = unary(np.invert, "bitwise_invert")
bitwise_and = binary(np.bitwise_and, "bitwise_and")
bitwise_or = binary(np.bitwise_or, "bitwise_or")
bitwise_xor = binary(np.bitwise_xor, "bitwise_xor")
bitwise_left_shift = binary(np.left_shift, "bitwise_left_shift")
bitwise_right_shift = binary(np.right_shift, "bitwise_right_shift")


@primitive(batching=aligned)
def isclose(a: Array, b: Array, /, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """True where ``|a - b| ≤ atol + rtol · |b|``; NaN is close to NaN only with ``equal_nan``."""
    return np.isclose(a, b, rtol, atol, equal_nan)


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """True if all elements are close in the sense of :func:`isclose`."""
    return bool(np.allclose(beside((b,), a, "a"), beside((a,), b, "b"), rtol, atol, equal_nan))


def array_equal(a: Any, b: Any, equal_nan: bool = False) -> bool:
    """True if two arrays have the same shape and the same elements."""
    equal_nan = as_truth(equal_nan, "equal_nan")
    return bool(np.array_equal(beside((b,), a, "a"), beside((a,), b, "b"), equal_nan))


@primitive(batching=aligned)
def _where(condition: Array, x1: Array, x2: Array, /) -> Array:
    x1, x2 = promote([x1, x2], floating=False)
    if isinstance(condition, np.ndarray) and condition.size >= LARGE and condition.dtype == bool:
        dtype = np.result_type(x1, x2)
        if dtype.char in "fd" and all(shape_of(value) in (condition.shape, ()) for value in (x1, x2)):
            return kernels.where(condition, np.asarray(x1, dtype), np.asarray(x2, dtype))
    return np.where(condition, x1, x2)


LARGE = 4096  # elements from which on calling the kernel costs less than the branches that NumPy's loop mispredicts


_where.vjp(x1=lambda g, condition: _where(condition, g, 0), x2=lambda g, condition: _where(condition, 0, g))
_where.name = "where"


def where(condition: Any, x1: Any = None, x2: Any = None, /) -> Any:
    """Elements of ``x1`` where the condition holds, of ``x2`` elsewhere; the branch not taken gets a gradient of 0.

    With the condition alone, the positions where it holds: :func:`nonzero`.

    Example:
        >>> import minigrad as mg
        >>> mg.where(mg.tensor([True, False]), mg.tensor([1.0, 2.0]), 0)
        tensor([1., 0.])
    """
    if x1 is None and x2 is None:
        return nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("where: expected both x1 and x2, or neither")
    return _where(condition, x1, x2)


def nonzero(x: Any, /) -> tuple[Tensor, ...]:
    """Indices of the non-zero elements: an int64 array for each axis of ``x``."""
    return tuple(Tensor(indices) for indices in np.nonzero(as_array(x)))


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Elementwise selection: the first of the choices whose condition holds; ``default`` where none does.

    Raises:
        ValueError: the lists are empty or differ in length.
    """
    condlist, choicelist = all_beside(condlist, "condlist"), all_beside(choicelist, "choicelist")
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            f"condlist: expected as many conditions as choices and at least one, got {len(condlist)} and "
            f"{len(choicelist)}"
        )
    chosen = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        chosen = where(condition, choice, chosen)
    return chosen


def no_slope(g: Any) -> Any:
    """Zero gradient of piecewise constant functions, also where a cotangent is infinite or NaN."""
    return _where(False, g, 0)
