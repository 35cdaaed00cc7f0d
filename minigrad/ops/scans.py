"""Scans: cumulative sums, products and extremes along one axis.

Derivatives of cumulative products are exact with any number of zeros in them, to any order: none of them divides. They
are linear recurrences, whose derivatives are linear recurrences again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minigrad import kernels
from minigrad.engine.dtypes import supported
from minigrad.engine.grad_mode import derivative_on_arrays
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.arguments import shape_of
from minigrad.ops.batching import along_axis
from minigrad.ops.comparisons import isfinite, isinf, where
from minigrad.ops.elementwise import astype, exp, minimum
from minigrad.ops.indexing import take_along_axis
from minigrad.ops.joining import concat
from minigrad.ops.operands import as_operand
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import flatten, flip, reshape

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "cummax", "cummin", "logcumsumexp"]


def sliced(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """Slice ``x[start:stop]`` along an axis."""
    return x[(slice(None),) * (axis % x.ndim) + (slice(start, stop),)]


def delayed(x: Any, axis: int, first: float) -> Any:
    """Shift by one position along an axis, with ``first`` in front; the last element is dropped."""
    return concat((where(False, sliced(x, axis, 0, 1), first), sliced(x, axis, None, -1)), axis=axis)


def _scan(scan: Any, x: Any, axis: int | None, **params: Any) -> Any:
    """NumPy's axis rule: scan along an axis, or of the flattened array; a scalar counts as a vector of one element."""
    x = as_operand(x)
    if axis is None:
        return scan(flatten(x), 0, **params)
    return scan(x if x.ndim else flatten(x), axis, **params)


def _scan_as_torch(scan: Any, x: Any, axis: int, **params: Any) -> Any:
    """PyTorch's axis rule: a scan along an axis; that of a scalar is a scalar."""
    x = as_operand(x)
    return scan(x, axis, **params) if x.ndim else reshape(scan(flatten(x), axis, **params), ())


@primitive(batching=along_axis)
def _cumsum(x: Array, /, axis: int, reverse: bool = False, dtype: npt.DTypeLike | None = None) -> Array:
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis=axis), axis)
    return np.cumsum(x, axis=axis, dtype=dtype)


_cumsum.vjp(x=lambda g, axis, reverse: _cumsum(g, axis, not reverse))
_cumsum.name = "cumsum"


@primitive(batching=along_axis)
def _linear_recurrence(b: Array, a: Array, /, axis: int, reverse: bool = False) -> Array:
    """Linear recurrence rᵢ = bᵢ + aᵢ rᵢ₋₁ along an axis, or its transpose sᵢ = bᵢ + aᵢ₊₁ sᵢ₊₁."""
    return kernels.linear_recurrence(b, a, axis, reverse)


@_linear_recurrence.joint_vjp
def _linear_recurrence_vjp(g: Any, a: Any, out: Any, axis: int, reverse: bool) -> list[Any]:
    transposed = _linear_recurrence(g, a, axis, not reverse)
    forward, backward = (transposed, out) if reverse else (out, transposed)
    return [transposed, backward * delayed(forward, axis, 0)]


@primitive(batching=along_axis)
def _cumprod(x: Array, /, axis: int, dtype: npt.DTypeLike | None = None) -> Array:
    return np.cumprod(x, axis=axis, dtype=dtype)


# The factor before a place, times what follows it: gᵢ + xᵢ₊₁ (gᵢ₊₁ + xᵢ₊₂ (…)).
_cumprod.vjp(x=lambda g, out, x, axis: delayed(out, axis, 1) * _linear_recurrence(g, x, axis, True))
_cumprod.name = "cumprod"


def cumsum(x: Any, /, axis: int | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """Cumulative sums along ``axis``, or of the flattened array. Booleans and small integers add up as int64 or uint64.

    Example:
        >>> import minigrad as mg
        >>> mg.cumsum(mg.tensor([1.0, 2.0, 3.0]))
        tensor([1., 3., 6.])
    """
    return _scan(_cumsum, x, axis, dtype=None if dtype is None else supported(dtype))


def cumprod(x: Any, /, axis: int | None = None, dtype: npt.DTypeLike | None = None) -> Any:
    """Cumulative products along ``axis``, or of the flattened array; derivatives are exact with zeros, to any order."""
    return _scan(_cumprod, x if dtype is None else astype(x, dtype), axis, dtype=dtype)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: npt.DTypeLike | None = None, include_initial: bool = False
) -> Any:
    """Cumulative sums along ``axis``; with ``include_initial``, after a first 0.

    Raises:
        ValueError: ``axis`` is missing, and ``x`` has more than one.
    """
    return _from_initial(cumsum(x, _only_axis(x, axis), dtype), axis, 0 if include_initial else None)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: npt.DTypeLike | None = None, include_initial: bool = False
) -> Any:
    """Cumulative products along ``axis``; with ``include_initial``, after a first 1.

    Raises:
        ValueError: ``axis`` is missing, and ``x`` has more than one.
    """
    return _from_initial(cumprod(x, _only_axis(x, axis), dtype), axis, 1 if include_initial else None)


def _only_axis(x: Any, axis: int | None) -> int | None:
    if axis is None and len(shape_of(x)) > 1:
        raise ValueError(f"axis: expected one to be named for an array of {len(shape_of(x))} dimensions, got None")
    return axis


def _from_initial(scan: Any, axis: int | None, initial: int | None) -> Any:
    if initial is None:
        return scan
    axis = axis or 0
    shape = list(scan.shape)
    shape[axis] = 1
    return concat((np.full(shape, initial, scan.dtype), scan), axis=axis)


class Extremes(NamedTuple):
    """Cumulative maxima or minima, and their indices."""

    values: Any
    indices: Any


@primitive(batching=along_axis)
def _running_extreme(x: Array, /, axis: int, largest: bool) -> Array:
    """Index of the latest maximum (or minimum) so far; NaN counts as the extreme."""
    extreme = (np.maximum if largest else np.minimum).accumulate(x, axis=axis)
    places = np.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - 1 - axis % x.ndim))
    return np.maximum.accumulate(np.where((x == extreme) | (x != x), places, 0), axis=axis)


def cummax(x: Any, /, axis: int = -1) -> Extremes:
    """Cumulative maxima along ``axis`` and their int64 indices, of ties the latest (PyTorch's convention)."""
    return _extremes(x, axis, True)


def cummin(x: Any, /, axis: int = -1) -> Extremes:
    """Cumulative minima along ``axis`` and their int64 indices, of ties the latest (PyTorch's convention)."""
    return _extremes(x, axis, False)


def _extremes(x: Any, axis: int, largest: bool) -> Extremes:
    indices = _scan_as_torch(_running_extreme, x, axis, largest=largest)

    def at_indices(x: Any, axis: int) -> Any:
        return take_along_axis(x, reshape(indices, x.shape), axis=axis)

    return Extremes(_scan_as_torch(at_indices, x, axis), indices)


@primitive(dtypes="floating", batching=along_axis)
def _logcumsumexp(x: Array, /, axis: int) -> Array:
    with derivative_on_arrays(True), np.errstate(divide="ignore"):
        top, _, sums = _running_exponentials(x, axis)
        return top + np.log(sums)


@_logcumsumexp.joint_vjp
def _logcumsumexp_vjp(g: Any, x: Any, out: Any, axis: int) -> list[Any]:
    # Weight 1 for infinite terms of an infinite sum, 0 where the sum is zero.
    infinite = isinf(out)
    top, carried, sums = _running_exponentials(where(x == np.inf, 0, x), axis)
    total = where(infinite, 1, sums)
    own = where(infinite, x == np.inf, exp(where(infinite, 0, x - top)) / total)
    links = where(infinite, delayed(out, axis, -np.inf) == np.inf, carried * delayed(sums, axis, 0) / total)
    return [_linear_recurrence(g, links, axis, True) * own]


def _running_exponentials(x: Any, axis: int) -> tuple[Any, Any, Any]:
    """Online log-sum-exp: cumulative maxima, 0 for infinite ones; cumulative sums of exponentials relative to them;
    and between these the factor of a sum at the next position.
    """
    values = x.detach() if isinstance(x, Tensor) else x  # the sums are relative to the maxima, whatever they are
    extremes = take_along_axis(values, _running_extreme(values, axis, True), axis=axis)
    finite = isfinite(extremes)
    top = where(finite, extremes, 0)
    carried = where(delayed(finite, axis, False), exp(minimum(delayed(top, axis, 0) - top, 0)), 0)
    return top, carried, _linear_recurrence(exp(x - top), astype(carried, x.dtype), axis)


_logcumsumexp.name = "logcumsumexp"


def logcumsumexp(x: Any, /, axis: int = -1) -> Any:
    """Cumulative log-sum-exp along ``axis``, without overflow."""
    return _scan_as_torch(_logcumsumexp, x, axis)


def product_of_others(x: Any, axis: int) -> Any:
    """Product of all other elements along an axis, for each element: those before it times those after it."""
    before = delayed(_cumprod(x, axis), axis, 1)
    behind = flip(delayed(_cumprod(flip(x, axis), axis), axis, 1), axis)
    return before * behind
