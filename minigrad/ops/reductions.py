"""Operations that collapse axes. ``axis`` is None (all), an integer, or a tuple of integers."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from minigrad.ops.batching import along_axis
from minigrad.ops.elementwise import exp, log, where
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import broadcast_to, reshape
from minigrad.tensor import Array, Shape

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "sum",
    "var",
]

Axis = int | tuple[int, ...] | None


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes meant, as non-negative numbers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim if ndim else a for a in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(shape: Shape, axis: Axis) -> Shape:
    """The shape of a reduction with ``keepdims=True``."""
    axes = _axes(axis, len(shape))
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


def _count(shape: Shape, axis: Axis) -> int:
    """How many elements are collapsed into one."""
    return int(np.prod([shape[a] for a in _axes(axis, len(shape))]))


def _stretch(g: Any, shape: Shape, axis: Axis) -> Any:
    """The cotangent of a reduction, repeated over the axes that it collapsed."""
    return broadcast_to(reshape(g, _kept(shape, axis)), shape)


@primitive(batching=along_axis)
def sum(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The sum over ``axis``. Booleans and small integers add up as int64."""
    return np.sum(x, axis=axis, keepdims=keepdims)


sum.vjp(x=lambda g, x_shape, axis: _stretch(g, x_shape, axis))


@primitive(dtypes="floating", batching=along_axis)
def mean(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The mean over ``axis``; of integers in float32."""
    return np.mean(x, axis=axis, keepdims=keepdims)


mean.vjp(x=lambda g, x_shape, axis: _stretch(g / builtins.max(_count(x_shape, axis), 1), x_shape, axis))


def var(x: Any, axis: Axis = None, correction: float = 0, keepdims: bool = False) -> Any:
    """The variance over ``axis``: the mean squared deviation, divided by (count - correction)."""
    deviation = x - mean(x, axis=axis, keepdims=True)
    total = sum(deviation * deviation, axis=axis, keepdims=keepdims)
    return total / (_count(np.shape(x), axis) - correction)


def _evenly(g: Any, out: Any, x: Any, axis: Axis) -> Any:
    """The cotangent of max or min: ties share it evenly."""
    kept = _kept(np.shape(x), axis)
    chosen = (x == reshape(out, kept)).astype(out.dtype)
    return chosen * (reshape(g, kept) / sum(chosen, axis=axis, keepdims=True))


@primitive(batching=along_axis)
def max(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest value over ``axis``; ties share the gradient evenly."""
    return np.max(x, axis=axis, keepdims=keepdims)


@primitive(batching=along_axis)
def min(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest value over ``axis``; ties share the gradient evenly."""
    return np.min(x, axis=axis, keepdims=keepdims)


max.vjp(x=_evenly)
min.vjp(x=_evenly)


@primitive
def argmax(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest value over ``axis``."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@primitive
def argmin(x: Array, /, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest value over ``axis``."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@primitive(batching=along_axis)
def any(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether any element over ``axis`` is true."""
    return np.any(x, axis=axis, keepdims=keepdims)


@primitive(batching=along_axis)
def all(x: Array, /, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether all elements over ``axis`` are true."""
    return np.all(x, axis=axis, keepdims=keepdims)


@primitive(batching=along_axis)
def cumsum(x: Array, /, axis: int = -1) -> Array:
    """Running sums along ``axis``."""
    return np.cumsum(x, axis=axis)


@primitive(batching=along_axis)
def _reverse_cumsum(x: Array, /, axis: int = -1) -> Array:
    """Sums of each element and all that follow it: the transpose of ``cumsum``."""
    return np.flip(np.cumsum(np.flip(x, axis), axis=axis), axis)


cumsum.vjp(x=lambda g, axis: _reverse_cumsum(g, axis=axis))
_reverse_cumsum.vjp(x=lambda g, axis: cumsum(g, axis=axis))


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """log Σ exp(x) over ``axis``, without overflow; -inf for nothing but -inf."""
    top = max(x, axis=axis, keepdims=True)
    top = top.detach() if hasattr(top, "detach") else top
    top = where(abs(top) == np.inf, 0, top)
    total = log(sum(exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else reshape(total, tuple(np.delete(np.shape(total), _axes(axis, np.ndim(total)))))
