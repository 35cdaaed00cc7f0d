"""Convolutions over one, two and three axes, and their transposes.

An input (N, C, size) has N examples of C channels; N may be left out. Arguments that concern the spatial axes are one
integer for all of them, or one for each.

Behind them stand three operations, each other's derivatives: for x (N, C, size), weight (O, C / groups, window) and
y (N, O, count),

    T(x, weight, y) = Σ y[n, o, q] · x[n, c, stride · q + dilation · k - padding] · weight[o, c, k]

is linear in each of them. ``convolution`` is its derivative with respect to y, ``convolution_transpose`` to x, and
``convolution_weight`` to weight. Leading axes before N are further batches.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.kernels.convolutions.polyphase import Geometry
from minigrad.nn.functional.windows import Padding, Sizes, Windows, for_each_axis
from minigrad.ops.arguments import as_integer
from minigrad.ops.batching import aligned
from minigrad.ops.operands import as_operand, as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import broadcast_to, reshape

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

Correlation = Callable[[Array, Array, Windows, int], Array]

# The public functions


def _conv(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | Literal["valid", "same"] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution: the weighted sum of every window (a cross-correlation, as neural networks call it).

    Args:
        input: ``(N, C, *size)`` or ``(C, *size)``, with as many spatial axes as the function's name says.
        weight: ``(O, C / groups, *window)``.
        bias: (O,), or None.
        stride: from one window to the next.
        padding: zeros on both sides of an axis; "valid" is none, "same" as many as keep the size (with stride 1).
        dilation: from one element of a window to the next.
        groups: the number of parts that channels and results are split into, each of which sees only its own.

    Returns:
        ``(N, O, *count)`` with count = ⌊(size + 2 · padding - dilation · (window - 1) - 1) / stride⌋ + 1; without N if
        there was none.

    Raises:
        ValueError: shapes or arguments do not fit; the message names the argument.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.nn import functional as F
        >>> F.conv2d(mg.ones((1, 3, 8, 8)), mg.ones((16, 3, 3, 3)), stride=2, padding=1).shape
        (1, 16, 4, 4)
    """
    x, weight, bias = as_operands("bias", input=input, weight=weight, bias=bias)
    batch, bias = _prepared(x, bias, weight, groups, weight.shape[1] * groups, weight.shape[0])
    window = weight.shape[2:]
    steps = for_each_axis("stride", stride, len(window), 1)
    apart = for_each_axis("dilation", dilation, len(window), 1)
    windows = Windows(batch.shape[2:], window, steps, apart, _around(padding, window, steps, apart))
    if any(count < 1 for count in windows.count):
        raise ValueError(f"weight: its window {window}, with dilation {apart}, does not fit into the padded input")
    out = convolution(batch, weight, bias, windows=windows, groups=groups)
    return out if batch is x else reshape(out, out.shape[1:])


def _conv_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Transposed convolution: every element of the input adds its weighted window to the result.

    Args:
        input: ``(N, C, *count)`` or ``(C, *count)``, with as many spatial axes as the function's name says.
        weight: ``(C, O / groups, *window)``.
        bias: (O,), or None.
        stride: in the result, from the window of one element to that of the next.
        padding: what is cut off the result on both sides of an axis.
        output_padding: by how much less is cut off at the end, for a stride above 1 has several sizes to go back to.
        groups: the number of parts that channels and results are split into, each of which sees only its own.
        dilation: from one element of a window to the next.

    Returns:
        ``(N, O, *size)`` with size = (count - 1) · stride + dilation · (window - 1) + 1 - 2 · padding + output_padding;
        without N if there was none.

    Raises:
        ValueError: shapes or arguments do not fit; the message names the argument.

    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.
    """
    y, weight, bias = as_operands("bias", input=input, weight=weight, bias=bias)
    batch, bias = _prepared(y, bias, weight, groups, weight.shape[0], weight.shape[1] * groups)
    window = weight.shape[2:]
    steps = for_each_axis("stride", stride, len(window), 1)
    apart = for_each_axis("dilation", dilation, len(window), 1)
    cut = for_each_axis("padding", padding, len(window), 0)
    extra = for_each_axis("output_padding", output_padding, len(window), 0)
    if any(e >= s and e >= d for e, s, d in zip(extra, steps, apart, strict=True)):
        raise ValueError(f"output_padding: expected less than stride {steps} or dilation {apart}, got {extra}")
    size = tuple(
        (count - 1) * s + d * (k - 1) + 1 - 2 * c + e
        for count, s, d, k, c, e in zip(batch.shape[2:], steps, apart, window, cut, extra, strict=True)
    )
    if any(each < 1 for each in size):
        raise ValueError(f"padding: with {cut} cut off on both sides, the result's size would be {size}")
    windows = Windows(size, window, steps, apart, tuple((c, c - e) for c, e in zip(cut, extra, strict=True)))
    out = convolution_transpose(batch, weight, bias, windows=windows, groups=groups)
    return out if batch is y else reshape(out, out.shape[1:])


def _prepared(input: Tensor, bias: Any, weight: Tensor, groups: int, channels: int, results: int) -> tuple[Tensor, Any]:
    """The input with its batch axis, and the bias as it broadcasts to the results."""
    axes = weight.ndim - 2
    if input.ndim not in (axes + 1, axes + 2):
        raise ValueError(f"input: expected (N, C, …) or (C, …) with {axes} spatial axes, got shape {input.shape}")
    if as_integer(groups, "groups") < 1 or weight.shape[0] % groups:
        raise ValueError(f"groups: expected a divisor of {weight.shape[0]} for weight {weight.shape}, got {groups}")
    if input.shape[-axes - 1] != channels:
        raise ValueError(f"input: expected {channels} channels for weight {weight.shape}, got shape {input.shape}")
    if bias is not None:
        if bias.shape != (results,):
            raise ValueError(f"bias: expected shape ({results},), got {bias.shape}")
        bias = reshape(bias, (results, *(1,) * axes))
    return (input if input.ndim == axes + 2 else reshape(input, (1, *input.shape))), bias


def _around(padding: Sizes | Literal["valid", "same"], window: Shape, stride: Shape, dilation: Shape) -> Padding:
    """Zeros before and after each axis; of an odd number, "same" puts one more after."""
    if padding == "same":
        if any(step != 1 for step in stride):
            raise ValueError(f"padding: 'same' needs a stride of 1, got {stride}")
        missing = [d * (k - 1) for d, k in zip(dilation, window, strict=True)]
        return tuple((total // 2, total - total // 2) for total in missing)
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(f"padding: expected integers, 'valid' or 'same', got {padding!r}")
    return tuple((p, p) for p in for_each_axis("padding", 0 if padding == "valid" else padding, len(window), 0))


def _over(axes: int, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function for a number of spatial axes."""

    @functools.wraps(function)
    def over_axes(input: Any, weight: Any, *args: Any, **kwargs: Any) -> Tensor:
        weight = as_operand(weight, "weight")
        if weight.ndim != axes + 2:
            raise ValueError(f"weight: expected {axes + 2} axes, {axes} of them spatial, got shape {weight.shape}")
        return function(input, weight, *args, **kwargs)

    over_axes.__name__ = over_axes.__qualname__ = f"{function.__name__[1:]}{axes}d"
    return over_axes


conv1d, conv2d, conv3d = (_over(axes, _conv) for axes in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (_over(axes, _conv_transpose) for axes in (1, 2, 3))

# The operations


@primitive(dtypes="floating", batching=aligned)
def convolution(x: Array, weight: Array, bias: Array | None = None, /, *, windows: Windows, groups: int) -> Array:
    """Convolution: the weighted sum of every window.

    Args:
        x: (N, C, *windows.size).
        weight: (O, C / groups, *windows.shape).
        bias: (O, 1, …), added everywhere.
        windows: where they lie over the spatial axes.
        groups: the number of parts the channels are split into; each makes O / groups of the results.

    Returns:
        (N, O, *windows.count).
    """
    if x.ndim == weight.ndim == len(windows.size) + 2 and (bias is None or bias.ndim == x.ndim - 1):
        return _convolution(x, weight, windows, groups, bias)
    out = _for_each(_convolution, x, weight, windows, groups, mergeable=True)
    return out if bias is None else out + bias


@primitive(dtypes="floating", batching=aligned)
def convolution_transpose(
    y: Array, weight: Array, bias: Array | None = None, /, *, windows: Windows, groups: int
) -> Array:
    """Transposed convolution: every element of ``y`` adds its weighted window to the result.

    Args:
        y: (N, O, *windows.count).
        weight: (O, C / groups, *windows.shape), as for the convolution.
        bias: (C, 1, …), added everywhere.
        windows: where they lie over the result.
        groups: as for the convolution.

    Returns:
        (N, C, *windows.size).
    """
    out = _for_each(_convolution_transpose, y, weight, windows, groups, mergeable=True)
    return out if bias is None else out + bias


@primitive(dtypes="floating", batching=aligned)
def convolution_weight(x: Array, y: Array, /, *, windows: Windows, groups: int) -> Array:
    """Gradient of the weight: products of ``x`` (N, C, size) and ``y`` (N, O, count) summed up for each weight."""
    return _for_each(_convolution_weight, x, y, windows, groups, mergeable=False)


@primitive(batching=aligned)
def channel_sums(x: Array, /, *, axes: int) -> Array:
    """Gradient of the bias: the sums (C, 1, …) of (N, C, size) over all else, with ``axes`` spatial axes."""
    if x.ndim == axes + 2:
        return kernels.sum_channels(x).reshape(-1, *(1,) * axes)
    return x.sum(axis=(-axes - 2, *range(-axes, 0)), keepdims=True).squeeze(-axes - 2)


channel_sums.vjp(x=lambda g, x_shape: broadcast_to(g, x_shape))
convolution.vjp(
    x=lambda g, weight, windows, groups: convolution_transpose(g, weight, windows=windows, groups=groups),
    weight=lambda g, x, windows, groups: convolution_weight(x, g, windows=windows, groups=groups),
    bias=lambda g, windows: channel_sums(g, axes=len(windows.size)),
)
convolution_transpose.vjp(
    y=lambda g, weight, windows, groups: convolution(g, weight, windows=windows, groups=groups),
    weight=lambda g, y, windows, groups: convolution_weight(g, y, windows=windows, groups=groups),
    bias=lambda g, windows: channel_sums(g, axes=len(windows.size)),
)
convolution_weight.vjp(
    x=lambda g, y, windows, groups: convolution_transpose(y, g, windows=windows, groups=groups),
    y=lambda g, x, windows, groups: convolution(x, g, windows=windows, groups=groups),
)


def _for_each(
    correlation: Correlation, data: Array, other: Array, windows: Windows, groups: int, mergeable: bool
) -> Array:
    """One correlation for each of the leading axes; all as one batch where these are the data's alone."""
    own = len(windows.size) + 2
    if data.ndim == own:
        return correlation(data, other, windows, groups)
    if mergeable and math.prod(other.shape[:-own]) == 1:
        lead = data.shape[: 1 - own]
        out = correlation(
            data.reshape(math.prod(lead), *data.shape[1 - own :]), other.reshape(other.shape[-own:]), windows, groups
        )
        return out.reshape(*lead, *out.shape[1:])
    lead = np.broadcast_shapes(data.shape[:-own], other.shape[:-own])
    data, other = (np.broadcast_to(array, (*lead, *array.shape[-own:])) for array in (data, other))
    results = [correlation(data[example], other[example], windows, groups) for example in np.ndindex(lead)]
    return np.stack(results).reshape(*lead, *results[0].shape)


def _is_depthwise(channels: int, groups: int) -> bool:
    """True if there are several groups, of a channel each: their matrix products would have a single row."""
    return channels == 1 and groups > 1


def _geometry(windows: Windows) -> Geometry:
    return Geometry(windows.size, windows.shape, windows.stride, windows.dilation, windows.padding)


def _convolution(x: Array, weight: Array, windows: Windows, groups: int, bias: Array | None = None) -> Array:
    geometry = _geometry(windows)
    if bias is not None:
        bias = np.broadcast_to(bias, (len(weight), *bias.shape[1:])).reshape(-1)
    if _is_depthwise(weight.shape[1], groups):
        return kernels.depthwise_convolution(x, weight[:, 0], bias, geometry)
    return kernels.convolution(x, weight, bias, groups, geometry)


def _convolution_weight(x: Array, y: Array, windows: Windows, groups: int) -> Array:
    geometry = _geometry(windows)
    if _is_depthwise(x.shape[1] // groups, groups):
        return kernels.depthwise_convolution_weight(x, y, geometry)[:, None]
    return kernels.convolution_weight(x, y, groups, geometry)


def _convolution_transpose(y: Array, weight: Array, windows: Windows, groups: int) -> Array:
    geometry = _geometry(windows)
    if _is_depthwise(weight.shape[1], groups):
        return kernels.depthwise_convolution_transpose(y, weight[:, 0], groups, geometry)
    return kernels.convolution_transpose(y, weight, groups, geometry)
