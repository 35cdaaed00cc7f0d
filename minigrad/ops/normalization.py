"""Softmax and normalisation: rows scaled by a statistic of themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.arguments import shape_of
from minigrad.ops.batching import along_axis
from minigrad.ops.elementwise import exp, sqrt
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.ops.reductions import mean, sum
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


@primitive(dtypes="floating")
def rms_norm(x: Array, weight: Array | None = None, /, eps: float = 1e-5) -> WithResiduals:
    """Each row of the last axis scaled to mean square 1, then ``· weight``.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, equation 4.
    """
    out, row_rstd = kernels.rms_norm(x, weight, eps)
    return WithResiduals(out, row_rstd=row_rstd)


@rms_norm.joint_vjp
def _rms_norm_vjp(g: Array, x: Array, weight: Array | None, row_rstd: Array) -> Any:
    return kernels.rms_norm_backward(g, x, weight, row_rstd)


@rms_norm.composed
def _rms_norm(x: Any, weight: Any, eps: float) -> Any:
    out = x / sqrt(mean(x * x, axis=-1, keepdims=True) + eps)
    return out if weight is None else out * weight


@primitive(dtypes="floating")
def batch_norm(x: Array, weight: Array | None = None, bias: Array | None = None, /, eps: float = 1e-5) -> WithResiduals:
    """Each channel shifted to mean 0 and scaled to variance 1 over all axes but its own, then ``· weight + bias``.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        eps: added to the variance.

    Returns:
        The result, in the shape of ``x``, and each channel's mean and (biased) variance, (C,).

    Source: Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1.
    """
    rows = _flattened(x)
    count = rows.shape[0] * rows.shape[2]
    center = np.einsum("ncs->c", rows) / x.dtype.type(count)
    out = rows - center[:, None]
    variance = np.einsum("ncs,ncs->c", out, out) / x.dtype.type(count)
    rstd = 1 / np.sqrt(variance + x.dtype.type(eps))
    out *= (rstd if weight is None else rstd * weight)[:, None]
    if bias is not None:
        out += bias[:, None]
    return WithResiduals((out.reshape(x.shape), center, variance), rstd=rstd)


@batch_norm.joint_vjp
def _batch_norm_vjp(g: list[Array], x: Array, weight: Array | None, out: list[Array], rstd: Array) -> list[Array]:
    """With z = (x - mean) · rstd: dx = weight · rstd · (g - average(g) - z · average(g · z))."""
    rows, gradient = _flattened(x), _flattened(g[0])
    count = x.dtype.type(rows.shape[0] * rows.shape[2])
    deviation = rows - out[1][:, None]
    along = np.einsum("ncs,ncs->c", gradient, deviation) * rstd
    total = np.einsum("ncs->c", gradient)
    scale = rstd if weight is None else rstd * weight
    deviation *= (-along / count * rstd * scale)[:, None]
    deviation += gradient * scale[:, None]
    deviation -= (total / count * scale)[:, None]
    return [deviation.reshape(x.shape), along, total]


def _flattened(x: Array) -> Array:
    """(N, C, …) as (N, C, S)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


@batch_norm.composed
def _batch_norm(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    axes = (0, *range(2, x.ndim))
    channels = (x.shape[1], *(1,) * (x.ndim - 2))
    center = mean(x, axis=axes, keepdims=True)
    deviation = x - center
    variance = mean(deviation * deviation, axis=axes, keepdims=True)
    out = deviation / sqrt(variance + eps)
    if weight is not None:
        out = out * reshape(weight, channels)
    if bias is not None:
        out = out + reshape(bias, channels)
    return out, reshape(center, (x.shape[1],)), reshape(variance, (x.shape[1],))
