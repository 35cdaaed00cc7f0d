"""Normalization: elements shifted and scaled by statistics of those around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Shape, Tensor, write_to
from minigrad.nn.functional.pooling import window_sum
from minigrad.nn.functional.windows import Windows
from minigrad.ops.arguments import as_integer, as_shape
from minigrad.ops.creation import asarray
from minigrad.ops.elementwise import sqrt
from minigrad.ops.operands import as_floats, as_operands
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.ops.reductions import mean, var
from minigrad.ops.shape import reshape

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
]


def _last_axes(shape: Shape, normalized_shape: int | Sequence[int]) -> Shape:
    """The sizes of the axes to normalize, which must be the last ones of ``shape``."""
    if (
        type(normalized_shape) is tuple
        and shape
        and shape[-1:] == normalized_shape
        and type(normalized_shape[-1]) is int
    ):
        return normalized_shape
    last = as_shape(normalized_shape, "normalized_shape")
    if not last or shape[-len(last) :] != last:
        raise ValueError(f"normalized_shape: the last axes of shape {shape} are not {last}")
    return last


@primitive(dtypes="floating")
def fused_layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, /, eps: float = 1e-5
) -> WithResiduals:
    out, row_mean, row_rstd = kernels.layer_norm(x, weight, bias, eps)
    return WithResiduals(out, row_mean=row_mean, row_rstd=row_rstd)


@fused_layer_norm.joint_vjp
def _layer_norm_vjp(g: Array, x: Array, weight: Array | None, row_mean: Array, row_rstd: Array, needs: Any) -> Any:
    gradient, weight_gradient, bias_gradient = kernels.layer_norm_backward(g, x, weight, row_mean, row_rstd)
    return gradient, weight_gradient, bias_gradient


@fused_layer_norm.composed
def _layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    deviation = x - mean(x, axis=-1, keepdims=True)
    out = deviation / sqrt(mean(deviation * deviation, axis=-1, keepdims=True) + eps)
    if weight is not None:
        out = out * weight
    return out if bias is None else out + bias


def layer_norm(
    input: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Layer normalization: mean 0 and variance 1 over the last axes, then ``· weight + bias``.

    Args:
        input: ``(…, *normalized_shape)``.
        normalized_shape: the sizes of these axes.
        weight, bias: ``(*normalized_shape)``, or None.
        eps: added to the variance.

    Raises:
        ValueError: the last axes have other sizes.

    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016, equation 4.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.layer_norm([[1.0, 3.0], [2.0, 6.0]], 2, eps=0)
        tensor([[-1.,  1.],
                [-1.,  1.]])
    """
    tensors = isinstance(input, Tensor) and (weight is None or isinstance(weight, Tensor))
    if not tensors or not (bias is None or isinstance(bias, Tensor)):
        input, weight, bias = as_operands("weight", "bias", input=input, weight=weight, bias=bias)
    shape = input.shape
    last = _last_axes(shape, normalized_shape)
    if len(last) == 1:
        return fused_layer_norm(input, weight, bias, eps)
    size = (math.prod(last),)
    weight, bias = (value if value is None else reshape(value, size) for value in (weight, bias))
    return reshape(fused_layer_norm(reshape(input, shape[: -len(last)] + size), weight, bias, eps), shape)


@primitive(dtypes="floating")
def fused_rms_norm(x: Array, weight: Array | None, /, eps: float) -> WithResiduals:
    out, row_rstd = kernels.rms_norm(x, weight, eps)
    return WithResiduals(out, row_rstd=row_rstd)


@fused_rms_norm.joint_vjp
def _rms_norm_vjp(g: Array, x: Array, weight: Array | None, row_rstd: Array) -> Any:
    return kernels.rms_norm_backward(g, x, weight, row_rstd)


@fused_rms_norm.composed
def _rms_norm(x: Any, weight: Any, eps: float) -> Any:
    out = x / sqrt(mean(x * x, axis=-1, keepdims=True) + eps)
    return out if weight is None else out * weight


def rms_norm(input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    """Root-mean-square normalization: mean square 1 over the last axes, then ``· weight``.

    Args:
        input: ``(…, *normalized_shape)``.
        normalized_shape: the sizes of these axes.
        weight: ``(*normalized_shape)``, or None.
        eps: added to the mean square; the distance from 1 to the next number of this dtype when None.

    Raises:
        ValueError: the last axes have other sizes.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, equation 4.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.rms_norm([[1.0, 7.0], [2.0, 14.0]], 2, eps=0)
        tensor([[0.2, 1.4],
                [0.2, 1.4]])
    """
    if not (isinstance(input, Tensor) and (weight is None or isinstance(weight, Tensor))):
        input, weight = as_operands("weight", input=input, weight=weight)
    shape = input.shape
    last = _last_axes(shape, normalized_shape)
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    if len(last) == 1:
        return fused_rms_norm(input, weight, eps)
    size = (math.prod(last),)
    weight = weight if weight is None else reshape(weight, size)
    return reshape(fused_rms_norm(reshape(input, shape[: -len(last)] + size), weight, eps), shape)


@primitive(dtypes="floating")
def fused_batch_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, /, eps: float = 1e-5
) -> WithResiduals:
    """Batch normalization: each channel to mean 0 and variance 1 over all axes but its own, then ``· weight + bias``.

    Args:
        x: (N, C, …).
        weight: (C,).
        bias: (C,).
        eps: added to the variance.

    Returns:
        The result, in the shape of ``x``, and each channel's mean and (biased) variance, (C,).

    Source: Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1.
    """
    out, center, variance, rstd = kernels.batch_norm(x, weight, bias, eps)
    return WithResiduals((out, center, variance), rstd=rstd)


@fused_batch_norm.joint_vjp
def _batch_norm_vjp(g: list[Array], x: Array, weight: Array | None, out: list[Array], rstd: Array) -> Any:
    return kernels.batch_norm_backward(g[0], x, weight, out[1], rstd)


@fused_batch_norm.composed
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


@primitive(dtypes="floating")
def fused_group_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, /, groups: int = 1, eps: float = 1e-5
) -> WithResiduals:
    """Group normalization of (N, C, …): each of ``groups`` parts of an example's channels to mean 0 and variance 1."""
    out, group_mean, group_rstd = kernels.group_norm(x, groups, weight, bias, eps)
    return WithResiduals(out, group_mean=group_mean, group_rstd=group_rstd)


@fused_group_norm.joint_vjp
def _group_norm_vjp(g: Array, x: Array, weight: Array | None, group_mean: Array, group_rstd: Array) -> Any:
    return kernels.group_norm_backward(g, x, weight, group_mean, group_rstd)


@fused_group_norm.composed
def _group_norm(x: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    rows = reshape(x, (x.shape[0], groups, math.prod(x.shape[1:]) // groups))
    channels = (x.shape[1], *(1,) * (x.ndim - 2))
    out = reshape(_layer_norm(rows, None, None, eps), x.shape)
    if weight is not None:
        out = out * reshape(weight, channels)
    return out if bias is None else out + reshape(bias, channels)


for _fused in (fused_layer_norm, fused_rms_norm, fused_batch_norm, fused_group_norm):
    _fused.name = _fused.name.removeprefix("fused_")


def batch_norm(
    input: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalization: each channel to mean 0 and variance 1 over all other axes, then ``· weight + bias``.

    Args:
        input: (N, C, …).
        running_mean, running_var: (C,), changed in place in training: new = (1 - momentum) · old + momentum · batch's,
            with the unbiased variance. Outside training they take the place of the batch's.
        weight, bias: (C,), or None.
        training: whether to normalize by the batch's own statistics.
        momentum: the weight of the newest batch.
        eps: added to the variance.

    Raises:
        ValueError: shapes do not fit, statistics are missing, or in training there is but one value for a channel.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1.
    """
    x, weight, bias = as_operands("weight", "bias", input=input, weight=weight, bias=bias)
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    channels = _check_channels(x, given)
    if not x.size:
        return x * 1
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("running_mean, running_var: expected both outside training, got None")
        return _scaled(x, running_mean, running_var, weight, bias, eps)
    count = x.size // channels
    if count == 1:
        raise ValueError(f"input: expected more than one value for each channel in training, got shape {x.shape}")
    out, center, variance = fused_batch_norm(x, weight, bias, eps)
    _update(running_mean, center.detach(), momentum)
    _update(running_var, variance.detach() * (count / (count - 1)), momentum)
    return out


def _check_channels(x: Tensor, given: dict[str, Any]) -> int:
    channels = x.shape[1 if x.ndim > 1 else 0] if x.ndim else 1
    for name, value in given.items():
        if value is not None and np.shape(value) != (channels,):
            raise ValueError(f"{name}: expected shape ({channels},) for input {x.shape}, got {np.shape(value)}")
    return channels


def _scaled(x: Tensor, center: Any, variance: Any, weight: Any, bias: Any, eps: float) -> Tensor:
    """Each channel normalized by statistics that are given."""
    along = (np.size(center), *(1,) * (x.ndim - 2))
    scale = 1 / sqrt(asarray(variance) + eps)
    scale = scale if weight is None else scale * weight
    shift = -asarray(center) * scale
    shift = shift if bias is None else shift + bias
    return x * reshape(scale, along) + reshape(shift, along)


def _update(running: Tensor | None, new: Tensor, momentum: float) -> None:
    if running is not None:
        write_to(running)
        running.data *= 1 - momentum
        running.data += momentum * new.data


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Group normalization: each group of channels of each example to mean 0 and variance 1, then ``· weight + bias``.

    Args:
        input: (N, C, …).
        num_groups: the number of groups of neighbouring channels.
        weight, bias: (C,), or None.
        eps: added to the variance.

    Raises:
        ValueError: the groups do not divide the channels, or shapes do not fit.

    Source: Wu and He, "Group Normalization", 2018.
    """
    x, weight, bias = as_operands("weight", "bias", input=input, weight=weight, bias=bias)
    if x.ndim < 2:
        raise ValueError(f"input: expected (N, C, …), got shape {x.shape}")
    channels = _check_channels(x, {"weight": weight, "bias": bias})
    if as_integer(num_groups, "num_groups") < 1 or channels % num_groups:
        raise ValueError(f"num_groups: expected a divisor of the {channels} channels, got {num_groups}")
    return fused_group_norm(x, weight, bias, num_groups, eps)


def instance_norm(
    input: Any,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Instance normalization: each channel of each example to mean 0 and variance 1, then ``· weight + bias``.

    Args:
        input: (N, C, …).
        running_mean, running_var: (C,), changed in place as by :func:`batch_norm`, with the statistics' means over the
            examples; without ``use_input_stats`` they take the place of the examples' own.
        weight, bias: (C,), or None.
        use_input_stats: whether to normalize by the examples' own statistics.
        momentum: the weight of the newest batch.
        eps: added to the variance.

    Raises:
        ValueError: shapes do not fit, or statistics are missing.

    Source: Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016.
    """
    x, weight, bias = as_operands("weight", "bias", input=input, weight=weight, bias=bias)
    _check_channels(x, {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias})
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError("running_mean, running_var: expected both without use_input_stats, got None")
        return _scaled(x, running_mean, running_var, weight, bias, eps)
    if x.ndim < 3 or math.prod(x.shape[2:]) == 1:
        raise ValueError(f"input: expected (N, C, …) with more than one value in each channel, got shape {x.shape}")
    if running_mean is not None or running_var is not None:
        values = reshape(x.detach(), (*x.shape[:2], math.prod(x.shape[2:])))
        _update(running_mean, mean(mean(values, axis=2), axis=0), momentum)
        _update(running_var, mean(var(values, axis=2, correction=1), axis=0), momentum)
    return fused_group_norm(x, weight, bias, x.shape[1], eps)


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Local response normalization: x / (k + α · the mean of x² over ``size`` neighbouring channels)ᵝ.

    Args:
        input: (N, C, …) with at least one spatial axis.
        size: the number of channels.
        alpha, beta, k: the formula's.

    Source: Krizhevsky, Sutskever and Hinton, 2012, section 3.3.
    """
    (x,) = as_floats(input=input)
    if x.ndim < 3:
        raise ValueError(f"input: expected (N, C, …) with at least one spatial axis, got shape {x.shape}")
    if as_integer(size, "size") < 1:
        raise ValueError(f"size: expected at least 1, got {size}")
    ones, none = (1,) * (x.ndim - 2), ((0, 0),) * (x.ndim - 2)
    around = ((size // 2, (size - 1) // 2), *none)
    windows = Windows(x.shape[1:], (size, *ones), (1, *ones), (1, *ones), around)
    return x / (k + alpha / size * window_sum(x * x, windows)) ** beta
