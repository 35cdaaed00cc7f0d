"""Normalisation: elements shifted and scaled by statistics of those around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine.tensor import Shape, Tensor, write_to
from minigrad.ops import normalization
from minigrad.ops.arguments import as_integer, as_shape
from minigrad.ops.creation import asarray
from minigrad.ops.elementwise import sqrt
from minigrad.ops.operands import as_floats, as_operands
from minigrad.ops.pooling import window_sum
from minigrad.ops.reductions import mean, var
from minigrad.ops.shape import reshape
from minigrad.ops.windows import Windows

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
]


def _last_axes(x: Tensor, normalized_shape: int | Sequence[int]) -> Shape:
    """The sizes of the axes to normalise, which must be the last ones of ``x``."""
    shape = as_shape(normalized_shape, "normalized_shape")
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"normalized_shape: the last axes of shape {x.shape} are not {shape}")
    return shape


def layer_norm(
    input: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Mean 0 and variance 1 over the last axes, then ``· weight + bias``. Ba, Kiros and Hinton, 2016.

    Args:
        input: (…, *normalized_shape).
        normalized_shape: the sizes of these axes.
        weight, bias: (*normalized_shape), or None.
        eps: added to the variance.

    Raises:
        ValueError: the last axes have other sizes.
    """
    x, weight, bias = as_operands("weight", "bias", input=input, weight=weight, bias=bias)
    shape = _last_axes(x, normalized_shape)
    if len(shape) == 1:
        return normalization.layer_norm(x, weight, bias, eps)
    rows = reshape(x, (*x.shape[: -len(shape)], math.prod(shape)))
    flat = (value if value is None else reshape(value, (math.prod(shape),)) for value in (weight, bias))
    return reshape(normalization.layer_norm(rows, *flat, eps), x.shape)


def rms_norm(input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    """Root mean square 1 over the last axes, then ``· weight``. Zhang and Sennrich, 2019, equation 4.

    Args:
        input: (…, *normalized_shape).
        normalized_shape: the sizes of these axes.
        weight: (*normalized_shape), or None.
        eps: added to the mean square; the distance from 1 to the next number of this dtype when None.

    Raises:
        ValueError: the last axes have other sizes.
    """
    x, weight = as_operands("weight", input=input, weight=weight)
    shape = _last_axes(x, normalized_shape)
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    if len(shape) == 1:
        return normalization.rms_norm(x, weight, eps)
    rows = reshape(x, (*x.shape[: -len(shape)], math.prod(shape)))
    flat = weight if weight is None else reshape(weight, (math.prod(shape),))
    return reshape(normalization.rms_norm(rows, flat, eps), x.shape)


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
    """Each channel to mean 0 and variance 1 over all other axes, then ``· weight + bias``. Ioffe and Szegedy, 2015.

    Args:
        input: (N, C, …).
        running_mean, running_var: (C,), changed in place in training: new = (1 - momentum) · old + momentum · batch's,
            with the unbiased variance. Outside training they take the place of the batch's.
        weight, bias: (C,), or None.
        training: whether to normalise by the batch's own statistics.
        momentum: the weight of the newest batch.
        eps: added to the variance.

    Raises:
        ValueError: shapes do not fit, statistics are missing, or in training there is but one value for a channel.
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
    out, center, variance = normalization.batch_norm(x, weight, bias, eps)
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
    """Each channel normalised by statistics that are given."""
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
    """Each group of channels of each example to mean 0 and variance 1, then ``· weight + bias``. Wu and He, 2018.

    Args:
        input: (N, C, …).
        num_groups: the number of groups of neighbouring channels.
        weight, bias: (C,), or None.
        eps: added to the variance.

    Raises:
        ValueError: the groups do not divide the channels, or shapes do not fit.
    """
    x, weight, bias = as_operands("weight", "bias", input=input, weight=weight, bias=bias)
    if x.ndim < 2:
        raise ValueError(f"input: expected (N, C, …), got shape {x.shape}")
    channels = _check_channels(x, {"weight": weight, "bias": bias})
    if as_integer(num_groups, "num_groups") < 1 or channels % num_groups:
        raise ValueError(f"num_groups: expected a divisor of the {channels} channels, got {num_groups}")
    size = math.prod(x.shape[1:]) // num_groups
    out = reshape(normalization.layer_norm(reshape(x, (x.shape[0], num_groups, size)), None, None, eps), x.shape)
    return _affine(out, weight, bias)


def _affine(x: Tensor, weight: Any, bias: Any) -> Tensor:
    """Channels scaled and shifted."""
    along = (x.shape[1], *(1,) * (x.ndim - 2))
    x = x if weight is None else x * reshape(weight, along)
    return x if bias is None else x + reshape(bias, along)


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
    """Each channel of each example to mean 0 and variance 1, then ``· weight + bias``. Ulyanov et al., 2016.

    Args:
        input: (N, C, …).
        running_mean, running_var: (C,), changed in place as by :func:`batch_norm`, with the statistics' means over the
            examples; without ``use_input_stats`` they take the place of the examples' own.
        weight, bias: (C,), or None.
        use_input_stats: whether to normalise by the examples' own statistics.
        momentum: the weight of the newest batch.
        eps: added to the variance.

    Raises:
        ValueError: shapes do not fit, or statistics are missing.
    """
    x, weight, bias = as_operands("weight", "bias", input=input, weight=weight, bias=bias)
    _check_channels(x, {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias})
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError("running_mean, running_var: expected both without use_input_stats, got None")
        return _scaled(x, running_mean, running_var, weight, bias, eps)
    if x.ndim < 3 or math.prod(x.shape[2:]) == 1:
        raise ValueError(f"input: expected (N, C, …) with more than one value in each channel, got shape {x.shape}")
    rows = reshape(x, (*x.shape[:2], math.prod(x.shape[2:])))
    if running_mean is not None or running_var is not None:
        values = rows.detach()
        _update(running_mean, mean(mean(values, axis=2), axis=0), momentum)
        _update(running_var, mean(var(values, axis=2, correction=1), axis=0), momentum)
    return _affine(reshape(normalization.layer_norm(rows, None, None, eps), x.shape), weight, bias)


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + α · the mean of x² over ``size`` neighbouring channels)ᵝ. Krizhevsky et al., 2012, section 3.3.

    Args:
        input: (N, C, …) with at least one spatial axis.
        size: the number of channels.
        alpha, beta, k: the formula's.
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
