"""Convolution over any number of spatial axes.

Three operations, each other's derivatives: for x (N, C, size), weight (O, C / groups, window) and y (N, O, count),

    T(x, weight, y) = Σ y[n, o, q] · x[n, c, stride · q + dilation · k - padding] · weight[o, c, k]

is linear in each of them. ``convolution`` is its derivative with respect to y, ``convolution_transpose`` to x, and
``convolution_weight`` to weight. All three run on one correlation, and that on this package's matrix product. Leading
axes before N are further batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.batching import aligned
from minigrad.ops.primitive import primitive
from minigrad.ops.windows import Windows, last_axes, padded

__all__ = [
    "convolution",
    "convolution_transpose",
    "convolution_weight",
]

# A lowered array of so many elements stays in the second-level cache, or near it, until it has been multiplied.
LOWERED = 1 << 18
# With fewer columns than this the matrix product's register tile is badly filled.
COLUMNS = 64

Correlation = Callable[[Array, Array, Windows, int], Array]


@primitive(dtypes="floating", batching=aligned)
def convolution(x: Array, weight: Array, bias: Array | None = None, /, *, windows: Windows, groups: int) -> Array:
    """The weighted sum of every window.

    Args:
        x: (N, C, *windows.size).
        weight: (O, C / groups, *windows.shape).
        bias: (O, 1, …), added everywhere.
        windows: where they lie over the spatial axes.
        groups: the number of parts the channels are split into; each makes O / groups of the results.

    Returns:
        (N, O, *windows.count).
    """
    out = _for_each(_convolution, x, weight, windows, groups, mergeable=True)
    return out if bias is None else np.add(out, bias, out=out)


@primitive(dtypes="floating", batching=aligned)
def convolution_transpose(
    y: Array, weight: Array, bias: Array | None = None, /, *, windows: Windows, groups: int
) -> Array:
    """Every element of ``y`` adds its weighted window to the result.

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
    """The products of ``x`` (N, C, size) and ``y`` (N, O, count) summed up for each weight."""
    return _for_each(_convolution_weight, x, y, windows, groups, mergeable=False)


convolution.vjp(
    x=lambda g, weight, windows, groups: convolution_transpose(g, weight, windows=windows, groups=groups),
    weight=lambda g, x, windows, groups: convolution_weight(x, g, windows=windows, groups=groups),
    bias=lambda g: g,
)
convolution_transpose.vjp(
    y=lambda g, weight, windows, groups: convolution(g, weight, windows=windows, groups=groups),
    weight=lambda g, y, windows, groups: convolution_weight(g, y, windows=windows, groups=groups),
    bias=lambda g: g,
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


def _convolution(x: Array, weight: Array, windows: Windows, groups: int) -> Array:
    out = np.empty((len(x), len(weight), *windows.count), x.dtype)
    _correlate(
        _by_channel(padded(x, windows.padding), groups),
        _by_group(weight, groups),
        _by_channel(out, groups),
        windows.stride,
        windows.dilation,
    )
    return out


def _convolution_weight(x: Array, y: Array, windows: Windows, groups: int) -> Array:
    """A correlation of x with y: batch and channels change places, and so do stride and dilation."""
    channels = x.shape[1] // groups
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
    """Along one axis, what makes the elements start, start + stride, … of a transposed convolution.

    Returns:
        Which weights, last first; how far apart are the elements of y that they meet; the padding of y. None if these
        elements lie in no window.
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


def _correlate(x: Array, weight: Array, out: Array, stride: Sequence[int], dilation: Sequence[int]) -> None:
    """out[g, o, n, q] = Σ x[g, c, n, stride · q + dilation · k] · weight[g, o, c, k], by matrix products.

    A window's elements are copied next to each other along all axes but the first, on which each row of results then
    reads its rows of the copy where they lie. That makes the copy smaller by the window's height than one of whole
    windows ("im2col").

    Source: Cho and Brand, "MEC: Memory-efficient Convolution for Deep Neural Network", ICML 2017.

    Args:
        x: (G, C, N, *size), already padded.
        weight: (G, O, C, *window).
        out: (G, O, N, *count), written to.
        stride: from window to window.
        dilation: from element to element.
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
        out[:, :, start : start + step] = np.moveaxis(product, 1, 3)
