"""Reductions over axes. ``axis`` is None (all), an integer, or a tuple of integers."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.dtypes import float64, result_type
from minigrad.engine.primitive import spread
from minigrad.engine.tensor import Array, Shape, Tensor, as_array
from minigrad.ops.arguments import as_number, as_truth, axis_index, reduced_axes, shape_of
from minigrad.ops.batching import along_axis
from minigrad.ops.comparisons import isinf, isnan, where
from minigrad.ops.elementwise import astype, ceil, exp, floor, lerp, round, sqrt, square, subtract
from minigrad.ops.indexing import getitem
from minigrad.ops.operands import as_floats, as_operand
from minigrad.ops.primitive import primitive
from minigrad.ops.scans import product_of_others
from minigrad.ops.shape import broadcast_to, flatten, permute_dims, reshape
from minigrad.ops.sorting import sort

__all__ = ["all", "any", "argmax", "argmin", "count_nonzero", "logsumexp", "max", "min", "prod", "ptp", "sum"]
__all__ += ["average", "mean", "median", "percentile", "quantile", "std", "var"]
__all__ += ["nanmax", "nanmean", "nanmin", "nansum"]
__all__ += ["amax", "amin"]

Axis = int | tuple[int, ...] | None


def _axis(x: Array, axis: Axis) -> Axis:
    """Axis for NumPy, also of scalars."""
    return axis if x.ndim else reduced_axes(axis, 0)


def _kept(shape: Shape, axis: Axis) -> Shape:
    """Shape of a reduction with ``keepdims=True``."""
    axes = reduced_axes(axis, len(shape))
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


def _count(shape: Shape, axis: Axis) -> int:
    """Number of elements reduced to one."""
    return math.prod(shape[a] for a in reduced_axes(axis, len(shape)))


def _stretch(g: Any, shape: Shape, axis: Axis) -> Any:
    """Broadcast the cotangent of a reduction over the reduced axes."""
    return spread(g, reduced_axes(axis, len(shape)), shape)


def _order(shape: Shape, axis: Axis) -> tuple[int, ...]:
    """Order of the axes with the reduced ones at the end."""
    axes = reduced_axes(axis, len(shape))
    return tuple(i for i in range(len(shape)) if i not in axes) + axes


def _rows(x: Any, axis: Axis) -> Any:
    """Reshape ``x`` with the reduced axes merged into one last axis."""
    lead = tuple(size for i, size in enumerate(x.shape) if i not in reduced_axes(axis, x.ndim))
    return reshape(permute_dims(x, _order(x.shape, axis)), (*lead, _count(x.shape, axis)))


# Sums and products


@primitive(batching=along_axis)
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False, *, dtype: npt.DTypeLike | None = None) -> Array:
    """Sum over ``axis``; booleans and small integers add up as int64 or uint64 unless a dtype is given.

    Example:
        >>> import minigrad as mg
        >>> mg.sum(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        tensor([4., 6.])
    """
    return np.sum(x, axis=_axis(x, axis), keepdims=keepdims, dtype=dtype)


@primitive(batching=along_axis)
def prod(x: Array, /, axis: Axis = None, keepdims: bool = False, *, dtype: npt.DTypeLike | None = None) -> Array:
    """Product over ``axis``, dtypes as in :func:`sum`; derivatives are exact with zeros in it, to any order."""
    return np.prod(x, axis=_axis(x, axis), keepdims=keepdims, dtype=dtype)


def _prod_vjp(g: Any, x: Any, axis: Axis) -> Any:
    order = _order(x.shape, axis)
    others = reshape(product_of_others(_rows(x, axis), -1), tuple(x.shape[i] for i in order))
    return reshape(g, _kept(x.shape, axis)) * permute_dims(others, tuple(order.index(i) for i in range(x.ndim)))


sum.vjp(x=lambda g, x_shape, axis: _stretch(g, x_shape, axis))
prod.vjp(x=_prod_vjp)


@primitive(dtypes="floating", batching=along_axis)
def _logsumexp(x: Array, /, axis: Axis, keepdims: bool) -> Array:
    axes = reduced_axes(axis, x.ndim)
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        total = np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axes)


_logsumexp.name = "logsumexp"
_logsumexp.vjp(x=lambda g, x, axis: reshape(g, _kept(x.shape, axis)) * _softmax_weights(x, axis))


def logsumexp(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Any:
    """Log-sum-exp over ``axis``, without overflow; -inf where all elements are -inf, with a gradient of 0.

    With ``keepdims`` a scalar counts as a vector of one element, as in SciPy.
    """
    x = as_operand(x)
    if x.ndim:
        return _logsumexp(x, axis, keepdims)
    reduced_axes(axis, 0)
    return _logsumexp(flatten(x), 0, keepdims)


def _softmax_weights(x: Any, axis: Axis) -> Any:
    """Softmax weights e^x / Σ e^x: 1 for infinite terms of an infinite sum, 0 where the sum is zero."""
    if not x.size:
        return x
    axes = reduced_axes(axis, x.ndim)
    top = max(x.detach() if isinstance(x, Tensor) else x, axis=axes, keepdims=True)  # the weights do not depend on it
    infinite = isinf(top)
    terms = where(infinite, x == np.inf, exp(where(infinite, -np.inf, x - where(infinite, 0, top))))
    return terms / where(infinite, 1, sum(terms, axis=axes, keepdims=True))


# Averages


@primitive(dtypes="floating", batching=along_axis)
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over ``axis``; of integers in float32."""
    return np.mean(x, axis=_axis(x, axis), keepdims=keepdims)


mean.vjp(x=lambda g, x_shape, axis: _stretch(g / builtins.max(_count(x_shape, axis), 1), x_shape, axis))


def average(x: Any, /, axis: Axis = None, weights: Any = None, keepdims: bool = False) -> Any:
    """Weighted average over ``axis``: Σ w·x / Σ w.

    Args:
        x: any shape.
        axis: the axes to average over.
        weights: of the shape of ``x``, or of its one ``axis`` only; None for the mean.
        keepdims: leave the axes in place, with size 1.
    """
    if weights is None:
        return mean(x, axis=axis, keepdims=keepdims)
    x, weights = as_floats(x=x, weights=weights)
    if weights.shape != x.shape:
        if not isinstance(axis, int) or weights.shape != (x.shape[axis_index(axis, x.ndim)],):
            raise ValueError(
                f"weights: expected the shape of x, {x.shape}, or the length of its one axis, got {weights.shape}"
            )
        weights = reshape(weights, tuple(-1 if i == axis % x.ndim else 1 for i in range(x.ndim)))
    weights = broadcast_to(weights, x.shape)
    return sum(x * weights, axis=axis, keepdims=keepdims) / sum(weights, axis=axis, keepdims=keepdims)


def var(x: Any, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Variance over ``axis``: the sum of squared deviations, divided by (count - correction)."""
    correction, keepdims = as_number(correction, "correction"), as_truth(keepdims, "keepdims")
    squares = square(subtract(x, mean(x, axis=axis, keepdims=True)))
    return sum(squares, axis=axis, keepdims=keepdims) / builtins.max(_count(shape_of(x), axis) - correction, 0)


def std(x: Any, /, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    """Standard deviation over ``axis``: the square root of :func:`var`, with a gradient of 0 where it is 0."""
    variance = var(x, axis, correction, keepdims)
    none = variance == 0
    return where(none, 0, sqrt(where(none, 1, variance)))


def median(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Any:
    """Median over ``axis``, the mean of the two middle values where there are two; NaN where any element is."""
    (x,) = as_floats(x=x)
    rows = sort(_rows(x, axis), axis=-1)
    count = rows.shape[-1]
    middle = mean(rows[..., (count - 1) // 2 : count // 2 + 1], axis=-1)
    return _finished(middle, rows, x.shape, axis, keepdims)


# Position between two sorted elements
_PLACES: dict[str, Callable[[Any], Any]] = {
    "linear": lambda place: place,
    "lower": floor,
    "higher": ceil,
    "nearest": round,
    "midpoint": lambda place: (floor(place) + ceil(place)) / 2,
}


def quantile(x: Any, q: Any, /, axis: Axis = None, keepdims: bool = False, *, method: str = "linear") -> Any:
    """Quantile ``q`` of the elements over ``axis``; NaN where any element is.

    Args:
        x: any shape, not empty.
        q: numbers in [0, 1], any shape; their axes come first in the result. Differentiable too.
        axis: the axes to reduce.
        keepdims: leave the axes in place, with size 1.
        method: the value between two elements: ``"linear"`` interpolates, ``"lower"``, ``"higher"`` and
            ``"nearest"`` take one of them, ``"midpoint"`` their mean.

    Raises:
        ValueError: ``q`` is outside [0, 1], or there are no elements.

    Example:
        >>> import minigrad as mg
        >>> mg.quantile(mg.tensor([1.0, 2.0, 4.0]), [0.5, 0.75])
        tensor([2., 3.])
    """
    if method not in _PLACES:
        raise ValueError(f"method: expected one of {', '.join(_PLACES)}, got {method!r}")
    x, q = as_operand(x), _exact(q)
    if not all((q >= 0) & (q <= 1)):
        raise ValueError(f"q: expected numbers in [0, 1], got {q}")
    rows = sort(_rows(x, axis), axis=-1)
    if not rows.shape[-1]:
        raise ValueError(f"x: expected elements to take a quantile of, got shape {x.shape}")
    place = _PLACES[method](q * (rows.shape[-1] - 1))
    below = np.floor(as_array(place)).astype(np.int64)
    above = np.minimum(below + 1, rows.shape[-1] - 1)
    weight = astype(place - below, result_type(rows, 1.0))
    values = lerp(getitem(rows, (..., below)), getitem(rows, (..., above)), weight)
    lead = rows.ndim - 1
    values = permute_dims(values, (*range(lead, values.ndim), *range(lead)))
    return _finished(values, rows, x.shape, axis, keepdims)


def percentile(x: Any, q: Any, /, axis: Axis = None, keepdims: bool = False, *, method: str = "linear") -> Any:
    """Percentile: :func:`quantile`, with ``q`` in percent."""
    return quantile(x, _exact(q) / 100, axis, keepdims, method=method)


def _exact(q: Any) -> Any:
    """Quantile level as float64, exact enough for positions in long arrays."""
    return astype(q if hasattr(q, "dtype") else np.asarray(q, np.float64), float64)


def _finished(values: Any, rows: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    """Result of sorted rows: NaN if a row has one (it is last), with the axes restored for ``keepdims``."""
    if rows.dtype.kind == "f" and rows.shape[-1]:
        last = rows[..., -1]
        values = where(isnan(last), last, values)
    own = values.shape[: values.ndim - rows.ndim + 1]
    return reshape(values, own + _kept(shape, axis)) if as_truth(keepdims, "keepdims") else values


# Extremes


def _evenly(g: Any, out: Any, x: Any, axis: Axis) -> Any:
    """Gradient of max or min: ties share it evenly; if the result is NaN, the NaN elements do."""
    kept = _kept(x.shape, axis)
    chosen = (x == reshape(out, kept)) | (x != x)
    return where(chosen, reshape(g, kept) / sum(chosen, axis=axis, keepdims=True), 0)


@primitive(batching=along_axis)
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Maximum over ``axis``; ties share the gradient evenly."""
    return np.max(x, axis=_axis(x, axis), keepdims=keepdims)


@primitive(batching=along_axis)
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Minimum over ``axis``; ties share the gradient evenly."""
    return np.min(x, axis=_axis(x, axis), keepdims=keepdims)


max.vjp(x=_evenly)
min.vjp(x=_evenly)
amax, amin = max, min


def ptp(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Any:
    """Range (peak to peak) over ``axis``: the maximum minus the minimum."""
    return max(x, axis=axis, keepdims=keepdims) - min(x, axis=axis, keepdims=keepdims)


@primitive(batching=along_axis)
def _argmax(x: Array, /, axis: int, keepdims: bool) -> Array:
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive(batching=along_axis)
def _argmin(x: Array, /, axis: int, keepdims: bool) -> Array:
    return np.argmin(x, axis=axis, keepdims=keepdims)


_argmax.name, _argmin.name = "argmax", "argmin"


def _position(find: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = as_operand(x)
    if axis is not None and x.ndim:
        return find(x, axis, keepdims)
    reduced_axes(axis, x.ndim)
    position = find(flatten(x), 0, False)
    return reshape(position, (1,) * x.ndim) if keepdims else position


def argmax(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index (int64) of the first maximum over ``axis``, or in the flattened array."""
    return _position(_argmax, x, axis, keepdims)


def argmin(x: Any, /, axis: int | None = None, keepdims: bool = False) -> Any:
    """Index (int64) of the first minimum over ``axis``, or in the flattened array."""
    return _position(_argmin, x, axis, keepdims)


# Logical reductions


@primitive(batching=along_axis)
def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """True if any element over ``axis`` is true."""
    return np.any(x, axis=_axis(x, axis), keepdims=keepdims)


@primitive(batching=along_axis)
def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """True if all elements over ``axis`` are true."""
    return np.all(x, axis=_axis(x, axis), keepdims=keepdims)


@primitive(batching=along_axis)
def count_nonzero(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Number of non-zero elements over ``axis``, as int64."""
    return np.asarray(np.count_nonzero(x, axis=_axis(x, axis), keepdims=keepdims), np.int64)


# Reductions that ignore NaN


def nansum(x: Any, /, axis: Axis = None, keepdims: bool = False, *, dtype: npt.DTypeLike | None = None) -> Any:
    """Sum over ``axis``, ignoring NaN."""
    return sum(where(isnan(x), 0, x), axis=axis, keepdims=keepdims, dtype=dtype)


def nanmean(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Any:
    """Mean over ``axis``, ignoring NaN; NaN where all elements are."""
    (x,) = as_floats(x=x)
    return nansum(x, axis, keepdims) / sum(~isnan(x), axis=axis, keepdims=keepdims)


def nanmax(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Any:
    """Maximum over ``axis``, ignoring NaN; NaN where all elements are."""
    return _without_nan(max, -np.inf, x, axis, keepdims)


def nanmin(x: Any, /, axis: Axis = None, keepdims: bool = False) -> Any:
    """Minimum over ``axis``, ignoring NaN; NaN where all elements are."""
    return _without_nan(min, np.inf, x, axis, keepdims)


def _without_nan(extreme: Any, least: float, x: Any, axis: Axis, keepdims: bool) -> Any:
    x = as_operand(x)
    if x.dtype.kind != "f":
        return extreme(x, axis=axis, keepdims=keepdims)
    missing = isnan(x)
    found = extreme(where(missing, least, x), axis=axis, keepdims=keepdims)
    return where(all(missing, axis=axis, keepdims=keepdims), np.nan, found)
