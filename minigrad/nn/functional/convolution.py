"""Convolutions over one, two and three axes, and their transposes.

An input (N, C, size) has N examples of C channels; N may be left out. Arguments that concern the spatial axes are one
integer for all of them, or one for each.

Behind them stand three operations, each other's derivatives: for x (N, C, size), weight (O, C / groups, window) and
y (N, O, count),

    T(x, weight, y) = Σ y[n, o, q] · x[n, c, stride · q + dilation · k - padding] · weight[o, c, k]

is linear in each of them. ``convolution`` is its derivative with respect to y, ``convolution_transpose`` to x, and
``convolution_weight`` to weight. All three run on one correlation, and that on this package's matrix product. Leading
axes before N are further batches.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigrad import kernels
from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.kernels.convolutions.polyphase import Geometry
from minigrad.nn.functional.windows import Padding, Sizes, Windows, for_each_axis, last_axes, padded
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

# A lowered array of so many elements stays in the second-level cache, or near it, until it has been multiplied.
LOWERED = 1 << 18
# With fewer columns than this the matrix product's register tile is badly filled.
COLUMNS = 64

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
    return out if bias is None else np.add(out, bias, out=out)


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
    return out if bias is None else np.add(out, bias, out=out)


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
    if _is_depthwise(weight.shape[1], groups):
        bias = bias if bias is None else np.broadcast_to(bias, (len(weight), *bias.shape[1:])).reshape(-1)
        return kernels.depthwise_convolution(x, weight[:, 0], bias, _geometry(windows))
    out = np.empty((len(x), len(weight), *windows.count), x.dtype)
    _correlate(
        _by_channel(padded(x, windows.padding), groups),
        _by_group(weight, groups),
        _by_channel(out, groups),
        windows.stride,
        windows.dilation,
        bias if bias is None else np.broadcast_to(bias, (len(weight), *bias.shape[1:])).reshape(groups, -1),
    )
    return out


def _convolution_weight(x: Array, y: Array, windows: Windows, groups: int) -> Array:
    """A correlation of x with y: batch and channels change places, and so do stride and dilation."""
    channels = x.shape[1] // groups
    if _is_depthwise(channels, groups):
        return kernels.depthwise_convolution_weight(x, y, _geometry(windows))[:, None]
    total = np.zeros((y.shape[1], channels, *windows.shape), x.dtype)
    part = np.empty_like(total)
    x = padded(x, windows.padding)
    lowered = math.prod(x.shape[1:]) * math.prod(windows.shape[1:])
    step = max(LOWERED, total.size) // max(lowered, 1) + 1
    for start in range(0, len(x), step):
        images, results = (_by_channel(array[start : start + step], groups) for array in (x, y))
        _correlate(images.swapaxes(1, 2), results, _by_group(part, groups), windows.dilation, windows.stride)
        total += part
    return total


def _convolution_transpose(y: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """Elements a stride apart are made by the same weights: a correlation with these for each phase of the stride.

    Source: Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.
    """
    if _is_depthwise(weight.shape[1], groups):
        return kernels.depthwise_convolution_transpose(y, weight[:, 0], groups, _geometry(windows))
    out = np.zeros((len(y), weight.shape[1] * groups, *windows.size), y.dtype)
    weight = _by_group(weight, groups).swapaxes(1, 2)
    for phase in np.ndindex(windows.stride):
        target = out[last_axes(slice(start, None, step) for start, step in zip(phase, windows.stride, strict=True))]
        axes = [found for axis, start in enumerate(phase) if (found := _phase(windows, axis, start))]
        if target.size and len(axes) == len(phase):
            taps, dilation, padding = zip(*axes, strict=True)
            _correlate(
                _by_channel(padded(y, padding), groups),
                weight[last_axes(taps)],
                _by_channel(target, groups),
                (1,) * len(axes),
                dilation,
            )
    return out


def _phase(windows: Windows, axis: int, start: int) -> tuple[slice, int, tuple[int, int]] | None:
    """Correlation along one axis that makes the elements start, start + stride, … of a transposed convolution.

    Returns:
        The weights, last first; the distance between the elements of y that they meet; the padding of y. None if
        these elements lie in no window.
    """
    shape, stride, dilation = windows.shape[axis], windows.stride[axis], windows.dilation[axis]
    targets = -(-(windows.size[axis] - start) // stride)
    shift, rest = divmod(start + windows.padding[axis][0], stride)
    common = math.gcd(stride, dilation)
    step, apart = stride // common, dilation // common
    first = next((k for k in range(min(step, shape)) if (dilation * k - rest) % stride == 0), None)
    if first is None:
        return None
    # Target v is the sum over taps t of y[v + shift - lag - apart · t] · weight[first + step · t].
    lag = (dilation * first - rest) // stride
    last = (shape - 1 - first) // step
    padding = (lag + apart * last - shift, targets - windows.count[axis] - lag + shift)
    return slice(first + step * last, None, -step), apart, padding


def _by_channel(x: Array, groups: int) -> Array:
    """(N, G · C, …) as (G, C, N, …)."""
    return np.moveaxis(x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:]), 0, 2)


def _by_group(weight: Array, groups: int) -> Array:
    """(G · O, C, …) as (G, O, C, …)."""
    return weight.reshape(groups, len(weight) // groups, *weight.shape[1:])


def _correlate(
    x: Array,
    weight: Array,
    out: Array,
    stride: Sequence[int],
    dilation: Sequence[int],
    bias: Array | None = None,
) -> None:
    """out[g, o, n, q] = Σ x[g, c, n, stride · q + dilation · k] · weight[g, o, c, k] + bias[g, o], by matrix products.

    A window's elements are copied next to each other along all axes but the first, on which each row of results then
    reads its rows of the copy where they lie. That makes the copy smaller by the window's height than one of whole
    windows ("im2col").

    Source: Cho and Brand, "MEC: Memory-efficient Convolution for Deep Neural Network", ICML 2017.

    Args:
        x: ``(G, C, N, *size)``, already padded.
        weight: ``(G, O, C, *window)``.
        out: ``(G, O, N, *count)``, written to.
        stride: from window to window.
        dilation: from element to element.
        bias: (G, O), or None.
    """
    if dilation[0] > 1 or x.shape[2] * math.prod(out.shape[4:]) < COLUMNS:
        # All real axes are to be copied along: elements of a window are apart on the first, or results in a row few.
        x, weight, out = x[:, :, :, None], weight[:, :, :, None], out[:, :, :, None]
        stride, dilation = (1, *stride), (1, *dilation)
    groups, channels, images, height = x.shape[:4]
    (window_height, *window), (count_height, *count) = weight.shape[3:], out.shape[3:]
    depth, width = channels * math.prod(window), math.prod(count)  # of a row: a window's elements, an image's results
    rows = np.moveaxis(weight, 3, 2).reshape(groups, 1, weight.shape[1], window_height * depth)
    step = max(LOWERED // max(groups * height * depth * width, 1), COLUMNS // max(width, 1), 1)
    wide = width >= math.prod(window)  # the longer runs of memory go innermost
    for start in range(0, images, step):
        part = x[:, :, start : start + step]
        group, channel, image, row, *columns = part.strides
        of_group, of_row = ((groups,), (group,)), ((height,), (row,))
        of_window = (channels, *window), (channel, *(a * b for a, b in zip(columns, dilation[1:], strict=True)))
        of_result = (part.shape[2], *count), (image, *(a * b for a, b in zip(columns, stride[1:], strict=True)))
        order = (of_group, of_row, of_window, of_result) if wide else (of_group, of_result, of_row, of_window)
        shape, strides = (sum(parts, ()) for parts in zip(*order, strict=True))
        lowered = np.ascontiguousarray(as_strided(part, shape, strides))
        along = part.shape[2] * width
        element, column = (along, 1) if wide else (1, height * depth)
        steps = (height * depth * along, stride[0] * depth * element, element, column)
        slabs = as_strided(
            lowered,
            (groups, count_height, window_height * depth, along),
            [each * lowered.itemsize for each in steps],
        )
        product = kernels.matmul(rows, slabs).reshape(groups, count_height, weight.shape[1], part.shape[2], *count)
        product, target = np.moveaxis(product, 1, 3), out[:, :, start : start + step]
        if bias is None:
            target[...] = product
        else:
            np.add(product, bias.reshape(*bias.shape, *(1,) * (out.ndim - 2)), out=target)
