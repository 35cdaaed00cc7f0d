"""Windows that step over the last axes of an array: what convolution, pooling and unfolding have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape
from minigrad.ops.batching import aligned
from minigrad.ops.primitive import primitive

__all__ = [
    "Padding",
    "Windows",
    "extend",
    "last_axes",
    "negated",
    "padded",
]

Padding = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Where windows lie over the last axes of an array. Every field has an entry for each of these axes."""

    size: Shape  # of the array
    shape: Shape  # of a window: its number of elements
    stride: Shape  # from one window to the next
    dilation: Shape  # from one element of a window to the next
    padding: Padding  # elements put before and after the array; a negative number cuts elements off

    @cached_property
    def count(self) -> Shape:
        """How many windows there are."""
        return tuple(
            (size + before + after - dilation * (shape - 1) - 1) // stride + 1
            for size, shape, stride, dilation, (before, after) in zip(
                self.size, self.shape, self.stride, self.dilation, self.padding, strict=True
            )
        )

    def places(self, axis: int, k: int) -> slice:
        """Along one axis of the padded array: where the windows have their k-th element."""
        start = k * self.dilation[axis]
        return slice(start, start + self.stride[axis] * (self.count[axis] - 1) + 1, self.stride[axis])

    def elements(self) -> Iterator[tuple[Shape, Any]]:
        """Each element of a window, row by row, and the index at which the padded array has it for all windows."""
        for element in np.ndindex(self.shape):
            yield element, last_axes(self.places(axis, k) for axis, k in enumerate(element))


def last_axes(parts: Iterable[slice | int]) -> Any:
    """An index into the last axes of an array, whatever comes before them."""
    return (..., *parts)


def padded(x: Array, padding: Padding, fill: float = 0) -> Array:
    """The last axes extended by (before, after) elements, or cut where these are negative.

    With :func:`negated` padding, and a fill of 0, it is its own transpose.
    """
    if not any(before or after for before, after in padding):
        return x
    lead, sizes = x.shape[: x.ndim - len(padding)], x.shape[x.ndim - len(padding) :]
    out = np.full((*lead, *(size + sum(pair) for size, pair in zip(sizes, padding, strict=True))), fill, x.dtype)
    source, target = [], []
    for size, (before, after) in zip(sizes, padding, strict=True):
        first = max(-before, 0)
        last = max(first, min(size, size + after))
        source.append(slice(first, last))
        target.append(slice(first + before, last + before))
    out[last_axes(target)] = x[last_axes(source)]
    return out


def negated(padding: Padding) -> Padding:
    """The padding that undoes this one."""
    return tuple((-before, -after) for before, after in padding)


@primitive(batching=aligned)
def extend(x: Array, /, padding: Padding, value: float = 0.0) -> Array:
    """The last axes extended by (before, after) elements of one value, or cut where these are negative."""
    out = padded(x, padding, value)
    return x.copy() if out is x else out


extend.vjp(x=lambda g, padding: extend(g, negated(padding)))
