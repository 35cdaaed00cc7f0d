"""Pooling over one, two and three axes: each window's largest element, or its mean.

An input (…, C, size) may have batch axes before the channels. Arguments that concern the spatial axes are one number
for all of them, or one for each. The functions without a number in their name take as many spatial axes as
``kernel_size`` has entries. The operations behind them work on the last axes of an array, whatever comes before them.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.nn.functional.windows import Sizes, Windows, for_each_axis, last_axes, negated, padded
from minigrad.ops.arguments import as_integer
from minigrad.ops.batching import aligned
from minigrad.ops.comparisons import where
from minigrad.ops.indexing import take
from minigrad.ops.operands import as_floats, as_operand
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import mean, sum
from minigrad.ops.shape import moveaxis, reshape

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def _spatial(x: Tensor, axes: int) -> Shape:
    """The sizes of the last axes."""
    if x.ndim not in (axes + 1, axes + 2):
        raise ValueError(f"input: expected (N, C, …) or (C, …) with {axes} spatial axes, got shape {x.shape}")
    size = x.shape[x.ndim - axes :]
    if not math.prod(size):
        raise ValueError(f"input: expected spatial axes that are not empty, got shape {x.shape}")
    return size


def _windows(
    x: Tensor, axes: int, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Windows:
    size = _spatial(x, axes)
    window = for_each_axis("kernel_size", kernel_size, axes, 1)
    steps = window if stride is None or stride == () else for_each_axis("stride", stride, axes, 1)
    apart = for_each_axis("dilation", dilation, axes, 1)
    before = for_each_axis("padding", padding, axes, 0)
    after = []
    for s, k, step, d, p in zip(size, window, steps, apart, before, strict=True):
        reach = d * (k - 1) + 1
        if 2 * p > reach:
            raise ValueError(f"padding: expected at most half of the window of {reach}, got {p}")
        room = s + 2 * p - reach
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and (count - 1) * step >= s + p:
            count -= 1  # the last window must start inside the array or the padding before it
        if count < 1:
            raise ValueError(f"kernel_size: a window of {reach} does not fit into the padded input {x.shape}")
        after.append((count - 1) * step + reach - s - p)
    return Windows(size, window, steps, apart, tuple(zip(before, after, strict=True)))


def max_pool(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Max pooling: the largest element of every window; the first of several gets the gradient.

    Args:
        input: ``(N, C, *size)`` or ``(C, *size)``.
        kernel_size: the window.
        stride: from one window to the next; the window's size by default, so that they do not overlap.
        padding: what may never be chosen on both sides of an axis; at most half a window.
        dilation: from one element of a window to the next.
        ceil_mode: whether a last window may reach beyond the padding.
        return_indices: also return where in its channel each element was found, counted through the spatial axes.

    Returns:
        ``(N, C, *count)`` with count = ⌊(size + 2 · padding - dilation · (window - 1) - 1) / stride⌋ + 1.

    Raises:
        ValueError: shapes or arguments do not fit; the message names the argument.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.max_pool2d(mg.tensor([[[1.0, 2.0], [4.0, 3.0]]]), 2)
        tensor([[[4.]]])
    """
    x = as_operand(input, "input")
    windows = _windows(x, _count_axes(x, kernel_size), kernel_size, stride, padding, dilation, ceil_mode)
    values = _max_pool(x, windows)
    return (values, max_indices(x, values, windows)) if return_indices else values


def avg_pool(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average pooling: the mean of every window.

    Args:
        input: ``(N, C, *size)`` or ``(C, *size)``.
        kernel_size: the window.
        stride: from one window to the next; the window's size by default, so that they do not overlap.
        padding: zeros on both sides of an axis; at most half a window.
        ceil_mode: whether a last window may reach beyond the padding.
        count_include_pad: whether the mean counts the padding's zeros.
        divisor_override: divides the sum instead of the number of elements.

    Returns:
        ``(N, C, *count)`` with count = ⌊(size + 2 · padding - window) / stride⌋ + 1.

    Raises:
        ValueError: shapes or arguments do not fit; the message names the argument.
    """
    (x,) = as_floats(input=input)
    if divisor_override is not None and as_integer(divisor_override, "divisor_override") == 0:
        raise ValueError("divisor_override: expected a number other than 0")
    windows = _windows(x, _count_axes(x, kernel_size), kernel_size, stride, padding, 1, ceil_mode)
    total = window_sum(x, windows)
    return total / (divisor_override or _counts(windows, count_include_pad).astype(total.dtype))


def _count_axes(x: Tensor, kernel_size: Sizes) -> int:
    """Number of spatial axes: as many as the window has; with one integer, all behind (N, C)."""
    return x.ndim - 2 if isinstance(kernel_size, int) else len(kernel_size)


def _counts(windows: Windows, count_include_pad: bool) -> Array:
    """Number of elements of each window inside the array, or inside it and its padding (as much after as before)."""
    counts = np.ones(1)
    for size, shape, stride, count, (before, _) in zip(
        windows.size, windows.shape, windows.stride, windows.count, windows.padding, strict=True
    ):
        margin = before if count_include_pad else 0
        starts = np.arange(count) * stride - before
        counts = np.multiply.outer(counts, np.minimum(starts + shape, size + margin) - np.maximum(starts, -margin))
    return counts[0]


def _adaptive_avg_pool(input: Any, output_size: Sequence[int | None]) -> Tensor:
    """Adaptive average pooling: the means of a number of parts of each spatial axis, as even as they can be.

    Args:
        input: ``(N, C, *size)`` or ``(C, *size)``, with as many spatial axes as the function's name says.
        output_size: the number of parts, for all axes or for each; None keeps an axis as it is.

    Returns:
        ``(N, C, *output_size)``.
    """
    (x,) = as_floats(input=input)
    axes = len(output_size)
    wanted = _parts(x, output_size)
    lead, sizes = x.shape[: x.ndim - axes], x.shape[x.ndim - axes :]
    if all(parts and size % parts == 0 for size, parts in zip(sizes, wanted, strict=True)):
        cut = [part for size, parts in zip(sizes, wanted, strict=True) for part in (parts, size // parts)]
        return mean(reshape(x, (*lead, *cut)), axis=tuple(range(-2 * axes + 1, 0, 2)))
    for axis, parts in enumerate(wanted, x.ndim - axes):
        bounds = np.array([adaptive_bounds(x.shape[axis], parts, part) for part in range(parts)]).reshape(-1, 2)
        lengths = (bounds[:, 1] - bounds[:, 0]).astype(x.dtype)
        places = bounds[:, :1] + np.arange(lengths.max(initial=1))  # (parts, longest)
        inside = places < bounds[:, 1:]
        elements = take(moveaxis(x, axis, -1), np.where(inside, places, 0).astype(np.int64), axis=-1)
        x = moveaxis(sum(where(inside, elements, 0), axis=-1) / lengths, -1, axis)
    return x


def _adaptive_max_pool(input: Any, output_size: Sequence[int | None], return_indices: bool = False) -> Any:
    """Adaptive max pooling: the largest elements of a number of parts of each spatial axis, as even as they can be.

    Args:
        input: ``(N, C, *size)`` or ``(C, *size)``, with as many spatial axes as the function's name says.
        output_size: the number of parts, for all axes or for each; None keeps an axis as it is.
        return_indices: also return where in its channel each element was found, counted through the spatial axes.

    Returns:
        ``(N, C, *output_size)``.
    """
    x = as_operand(input, "input")
    indices = adaptive_max_indices(x, _parts(x, output_size))
    values = take_at(x, indices, len(output_size))
    return (values, indices) if return_indices else values


def _parts(x: Tensor, output_size: Sequence[int | None]) -> Shape:
    """Number of parts that each axis is cut into."""
    if any(part is not None and as_integer(part, "output_size") < 0 for part in output_size):
        raise ValueError(f"output_size: expected integers ≥ 0 or None, got {tuple(output_size)}")
    sizes = _spatial(x, len(output_size))
    return tuple(size if part is None else part for size, part in zip(sizes, output_size, strict=True))


def _over(axes: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for a number of spatial axes: its second argument has an entry for each."""
    second = list(inspect.signature(function).parameters)[1]

    @functools.wraps(function)
    def over_axes(input: Any, *args: Any, **kwargs: Any) -> Any:
        value, *rest = args if args else (kwargs.pop(second),)
        given = value if isinstance(value, (tuple, list)) else (value,)
        sizes = tuple(size if size is None else as_integer(size, second) for size in given)
        sizes = sizes * axes if len(sizes) == 1 else sizes
        if len(sizes) != axes:
            raise ValueError(f"{second}: expected one integer, or {axes} of them, got {value}")
        return function(input, sizes, *rest, **kwargs)

    over_axes.__name__ = over_axes.__qualname__ = f"{function.__name__.lstrip('_')}{axes}d"
    return over_axes


max_pool1d, max_pool2d, max_pool3d = (_over(axes, max_pool) for axes in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_over(axes, avg_pool) for axes in (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (_over(axes, _adaptive_avg_pool) for axes in (1, 2, 3))
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_over(axes, _adaptive_max_pool) for axes in (1, 2, 3))

# Elements at places counted through several axes


@primitive(batching=aligned)
def take_at(x: Array, indices: Array, /, axes: int) -> Array:
    """The elements of (…, *size) at ``indices`` (…, *count), which count through its last ``axes`` axes in order."""
    lead = np.broadcast_shapes(x.shape[: x.ndim - axes], indices.shape[: indices.ndim - axes])
    size, count = x.shape[x.ndim - axes :], indices.shape[indices.ndim - axes :]
    whole = np.broadcast_to(x, (*lead, *size)).reshape(-1)
    return whole[_flat(indices, lead, count, size)].reshape(*lead, *count)


@primitive(batching=aligned)
def put_at(values: Array, indices: Array, /, size: Shape) -> Array:
    """Zeros (…, *size) with ``values`` (…, *count) added at ``indices``: the transpose of :func:`take_at`."""
    values, indices = np.broadcast_arrays(values, indices)
    lead, count = values.shape[: values.ndim - len(size)], values.shape[values.ndim - len(size) :]
    out = np.zeros(math.prod(lead) * math.prod(size), values.dtype)
    np.add.at(out, _flat(indices, lead, count, size), values.reshape(-1))
    return out.reshape(*lead, *size)


def _flat(indices: Array, lead: Shape, count: Shape, size: Shape) -> Array:
    """Indices through the axes of ``size`` as indices through all axes."""
    first = np.arange(math.prod(lead)).reshape(*lead, *(1,) * len(count)) * math.prod(size)
    return np.add(first, indices).reshape(-1)


take_at.vjp(x=lambda g, x_shape, indices, axes: put_at(g, indices, x_shape[len(x_shape) - axes :]))
put_at.vjp(values=lambda g, indices, size: take_at(g, indices, len(size)))

# The largest element


@primitive(dtypes="floating", batching=aligned)
def _max_pool(x: Array, /, windows: Windows) -> Array:
    """The largest element of each window: (…, *windows.size) to (…, *windows.count). NaN counts as larger than all."""
    extended = padded(x, windows.padding, -np.inf)
    best: Array | None = None
    for _, places in windows.elements():
        best = extended[places].copy() if best is None else np.maximum(best, extended[places], out=best)
    assert best is not None
    return best


@primitive(batching=aligned)
def max_indices(x: Array, best: Array, /, windows: Windows) -> Array:
    """Index of each window's largest element ``best``, as int64, counted through the windows' axes.

    Of several it is the first, but of NaN the last (as in PyTorch); padding only where there is nothing else.
    """
    extended = padded(x, windows.padding, -np.inf)
    elements = list(windows.elements())
    chosen = np.zeros(best.shape, np.min_scalar_type(len(elements)))
    found = np.zeros(best.shape, np.bool_)
    for number, (_, places) in enumerate(elements):  # in bytes and without masks, over which NumPy's loops stumble
        here = extended[places] == best
        chosen += np.greater(here, found) * chosen.dtype.type(number)
        found |= here
    if not found.all():
        for number, (_, places) in enumerate(elements):
            np.copyto(chosen, number, where=np.isnan(extended[places]))
    table = np.stack([_indices(windows, element).reshape(-1) for element, _ in elements])
    rows = chosen.reshape(*x.shape[: x.ndim - len(windows.size)], table.shape[1])
    return table[rows, np.arange(table.shape[1])].reshape(best.shape)


def _indices(windows: Windows, element: Shape) -> Array:
    """Index in the array of one element of each window; where that is padding, of the first element behind it."""
    along = []
    for k, count, stride, dilation, (before, _) in zip(
        element, windows.count, windows.stride, windows.dilation, windows.padding, strict=True
    ):
        place = np.arange(count) * stride + (k * dilation - before)
        along.append(np.where(place < 0, place % dilation, place))
    return np.ravel_multi_index(np.ix_(*along), windows.size, mode="clip")


_max_pool.name = "max_pool"
_max_pool.vjp(x=lambda g, out, x, windows: put_at(g, max_indices(x, out, windows), windows.size))


@primitive(batching=aligned)
def adaptive_max_indices(x: Array, /, output: Shape) -> Array:
    """The index of the largest element in each of ``output`` even parts of the last axes, (…, *output)."""
    size = x.shape[x.ndim - len(output) :]
    lead = x.shape[: x.ndim - len(output)]
    found = np.empty((*lead, *output), np.int64)
    for cell in np.ndindex(output):
        bounds = [adaptive_bounds(s, o, i) for s, o, i in zip(size, output, cell, strict=True)]
        block = x[last_axes(slice(*bound) for bound in bounds)]
        inside = block.reshape(*lead, math.prod(block.shape[len(lead) :])).argmax(-1)
        places = np.unravel_index(inside, block.shape[len(lead) :])
        found[last_axes(cell)] = np.ravel_multi_index(
            tuple(place + start for place, (start, _) in zip(places, bounds, strict=True)), size
        )
    return found


def adaptive_bounds(size: int, parts: int, index: int) -> tuple[int, int]:
    """Start and end of one of a number of even parts; neighbours overlap where they do not divide the size."""
    return index * size // parts, -(-(index + 1) * size // parts)


# The sum


@primitive(batching=aligned)
def window_sum(x: Array, /, windows: Windows) -> Array:
    """The sum of each window: (…, *windows.size) to (…, *windows.count). Axis by axis, for it factors."""
    x = padded(x, windows.padding)
    for axis, shape in enumerate(windows.shape):
        total = x[_at(axis, windows, windows.places(axis, 0))].copy()
        for k in range(1, shape):
            total += x[_at(axis, windows, windows.places(axis, k))]
        x = total
    return x


@primitive(batching=aligned)
def window_spread(y: Array, /, windows: Windows) -> Array:
    """Each element of (…, *windows.count) added to all of its window, (…, *windows.size): the transpose of the sum."""
    for axis in reversed(range(len(windows.size))):
        (before, after), shape = windows.padding[axis], list(y.shape)
        shape[y.ndim - len(windows.size) + axis] = before + windows.size[axis] + after
        spread = np.zeros(shape, y.dtype)
        for k in range(windows.shape[axis]):
            spread[_at(axis, windows, windows.places(axis, k))] += y
        y = spread
    return padded(y, negated(windows.padding))


def _at(axis: int, windows: Windows, places: slice) -> Any:
    """The index that takes ``places`` along one of the windows' axes."""
    return (..., places, *(slice(None),) * (len(windows.size) - 1 - axis))


window_sum.vjp(x=lambda g, windows: window_spread(g, windows))
window_spread.vjp(y=lambda g, windows: window_sum(g, windows))
