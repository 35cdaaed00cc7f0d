"""Windows collapsed to one number: their largest element, or their sum; and their transposes.

Everything works on the last axes of an array, whatever comes before them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape
from minigrad.ops.batching import aligned
from minigrad.ops.primitive import primitive
from minigrad.ops.windows import Windows, last_axes, negated, padded

__all__ = [
    "adaptive_max_indices",
    "fold",
    "max_indices",
    "max_pool",
    "put_at",
    "take_at",
    "unfold",
    "window_spread",
    "window_sum",
]

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
def max_pool(x: Array, /, windows: Windows) -> Array:
    """The largest element of each window: (…, *windows.size) to (…, *windows.count). NaN counts as larger than all."""
    extended = padded(x, windows.padding, -np.inf)
    best: Array | None = None
    for _, places in windows.elements():
        best = extended[places].copy() if best is None else np.maximum(best, extended[places], out=best)
    assert best is not None
    return best


@primitive(batching=aligned)
def max_indices(x: Array, best: Array, /, windows: Windows) -> Array:
    """Where each window has its largest element ``best``, as int64 indices that count through the windows' axes.

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
    """Where in the array each window has an element; where that is padding, its first element behind."""
    along = []
    for k, count, stride, dilation, (before, _) in zip(
        element, windows.count, windows.stride, windows.dilation, windows.padding, strict=True
    ):
        place = np.arange(count) * stride + (k * dilation - before)
        along.append(np.where(place < 0, place % dilation, place))
    return np.ravel_multi_index(np.ix_(*along), windows.size, mode="clip")


max_pool.vjp(x=lambda g, out, x, windows: put_at(g, max_indices(x, out, windows), windows.size))


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
    """Where one of a number of even parts starts and ends; neighbours overlap where they do not divide the size."""
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
        shape = list(y.shape)
        shape[y.ndim - len(windows.size) + axis] = windows.size[axis] + sum(windows.padding[axis])
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

# Whole windows


@primitive(batching=aligned)
def unfold(x: Array, /, windows: Windows) -> Array:
    """All windows of (…, *windows.size), written out: (…, *windows.shape, *windows.count)."""
    extended = padded(x, windows.padding)
    lead = x.shape[: x.ndim - len(windows.size)]
    out = np.empty((*lead, *windows.shape, *windows.count), x.dtype)
    for element, places in windows.elements():
        out[_of(element)] = extended[places]
    return out


@primitive(batching=aligned)
def fold(columns: Array, /, windows: Windows) -> Array:
    """Windows added up where they overlap: the transpose of :func:`unfold`."""
    lead = columns.shape[: columns.ndim - 2 * len(windows.size)]
    sizes = (size + sum(pair) for size, pair in zip(windows.size, windows.padding, strict=True))
    out = np.zeros((*lead, *sizes), columns.dtype)
    for element, places in windows.elements():
        out[places] += columns[_of(element)]
    return padded(out, negated(windows.padding))


def _of(element: Shape) -> Any:
    """The index of one element of all windows that are written out."""
    return (..., *element, *(slice(None),) * len(element))


unfold.vjp(x=lambda g, windows: fold(g, windows))
fold.vjp(columns=lambda g, windows: unfold(g, windows))
