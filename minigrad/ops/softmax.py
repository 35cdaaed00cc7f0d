"""Softmax and log-softmax along an axis, with derivatives of any order."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.arguments import shape_of
from minigrad.ops.batching import along_axis
from minigrad.ops.elementwise import exp
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import sum
from minigrad.ops.shape import reshape

__all__ = [
    "log_softmax",
    "softmax",
]


def _alike_along_axis(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """For inputs of one shape that need not all be batched."""
    return along_axis(list(np.broadcast_arrays(*arrays)), depth, params)


@primitive(dtypes="floating", batching=along_axis)
def _softmax(x: Array, /, axis: int) -> Array:
    return kernels.softmax(x, axis)


@primitive(batching=_alike_along_axis)
def _softmax_vjp(h: Array, y: Array, /, axis: int) -> Array:
    """(h - Σ h·y) · y: the transposed Jacobian of softmax at its result y, applied to h."""
    return kernels.softmax_backward(h, y, axis)


_softmax.name = "softmax"
_softmax.vjp(x=lambda g, out, axis: _softmax_vjp(g, out, axis))
# diag(y) - y yᵀ is symmetric, so in h this operation is its own transpose.
_softmax_vjp.vjp(
    h=lambda g, y, axis: _softmax_vjp(g, y, axis),
    y=lambda g, h, y, axis: g * (h - sum(h * y, axis=axis, keepdims=True)) - h * sum(g * y, axis=axis, keepdims=True),
)


def softmax(x: Any, /, axis: int = -1) -> Any:
    """exp(x) / Σ exp(x) along ``axis``, safe for any values; rows of nothing but -inf give zeros.

    Example:
        >>> import minigrad as mg
        >>> mg.softmax(mg.tensor([0.0, 0.0, -mg.inf]))
        tensor([0.5, 0.5, 0. ])
    """
    return _softmax(x, axis) if len(shape_of(x)) else reshape(_softmax(reshape(x, (1,)), axis), ())


@primitive(dtypes="floating", batching=along_axis)
def _log_softmax(x: Array, /, axis: int) -> Array:
    return kernels.log_softmax(x, axis)


@primitive(batching=_alike_along_axis)
def _log_softmax_vjp(h: Array, y: Array, /, axis: int) -> Array:
    """h - exp(y) Σ h: the transposed Jacobian of log-softmax at its result y, applied to h."""
    return kernels.log_softmax_backward(h, y, axis)


_log_softmax.name = "log_softmax"
_log_softmax.vjp(x=lambda g, out, axis: _log_softmax_vjp(g, out, axis))
_log_softmax_vjp.vjp(
    h=lambda g, y, axis: g - sum(g * exp(y), axis=axis, keepdims=True),
    y=lambda g, h, y, axis: -g * exp(y) * sum(h, axis=axis, keepdims=True),
)


def log_softmax(x: Any, /, axis: int = -1) -> Any:
    """x - log Σ exp(x) along ``axis``, safe for any values."""
    return _log_softmax(x, axis) if len(shape_of(x)) else reshape(_log_softmax(reshape(x, (1,)), axis), ())
