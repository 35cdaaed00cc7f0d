"""Softmax and normalisation: rows scaled by a statistic of themselves."""

from __future__ import annotations

from typing import Any

from minigrad import kernels
from minigrad.ops.elementwise import exp, sqrt
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.ops.reductions import mean, sum
from minigrad.tensor import Array

__all__ = [
    "log_softmax",
    "softmax",
]


@primitive(dtypes="floating")
def softmax(x: Array, /, axis: int = -1) -> Array:
    """exp(x) / Σ exp(x) along ``axis``, safe for any values; rows of nothing but -inf give zeros.

    Example:
        >>> import minigrad as mg
        >>> mg.softmax(mg.tensor([0.0, 0.0, -mg.inf]))
        tensor([0.5, 0.5, 0. ])
    """
    return kernels.softmax(x, axis)


@primitive
def _softmax_vjp(h: Array, y: Array, /, axis: int) -> Array:
    """(h - Σ h·y) · y: the transposed Jacobian of softmax at its result y, applied to h."""
    return kernels.softmax_backward(h, y, axis)


softmax.vjp(x=lambda g, out, axis: _softmax_vjp(g, out, axis))
# diag(y) - y yᵀ is symmetric, so in h this operation is its own transpose.
_softmax_vjp.vjp(
    h=lambda g, y, axis: _softmax_vjp(g, y, axis),
    y=lambda g, h, y, axis: g * (h - sum(h * y, axis=axis, keepdims=True)) - h * sum(g * y, axis=axis, keepdims=True),
)


@primitive(dtypes="floating")
def log_softmax(x: Array, /, axis: int = -1) -> Array:
    """x - log Σ exp(x) along ``axis``, safe for any values."""
    return kernels.log_softmax(x, axis)


@primitive
def _log_softmax_vjp(h: Array, y: Array, /, axis: int) -> Array:
    """h - exp(y) Σ h: the transposed Jacobian of log-softmax at its result y, applied to h."""
    return kernels.log_softmax_backward(h, y, axis)


log_softmax.vjp(x=lambda g, out, axis: _log_softmax_vjp(g, out, axis))
_log_softmax_vjp.vjp(
    h=lambda g, y, axis: g - sum(g * exp(y), axis=axis, keepdims=True),
    y=lambda g, h, y, axis: -g * exp(y) * sum(h, axis=axis, keepdims=True),
)


@primitive(dtypes="floating")
def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, /, eps: float = 1e-5) -> WithResiduals:
    """Each row of the last axis shifted to mean 0 and scaled to variance 1, then ``· weight + bias``.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, equation 4.
    """
    out, row_mean, row_rstd = kernels.layer_norm(x, weight, bias, eps)
    return WithResiduals(out, row_mean=row_mean, row_rstd=row_rstd)


@layer_norm.joint_vjp
def _layer_norm_vjp(g: Array, x: Array, weight: Array | None, row_mean: Array, row_rstd: Array, needs: Any) -> Any:
    gradient, weight_gradient, bias_gradient = kernels.layer_norm_backward(g, x, weight, row_mean, row_rstd)
    return gradient, weight_gradient, bias_gradient


@layer_norm.composed
def _layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    deviation = x - mean(x, axis=-1, keepdims=True)
    out = deviation / sqrt(mean(deviation * deviation, axis=-1, keepdims=True) + eps)
    if weight is not None:
        out = out * weight
    return out if bias is None else out + bias
