"""Windows that step over the last axes of an array: the geometry of convolution, pooling and unfolding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape
from minigrad.ops.arguments import as_shape

Padding = tuple[tuple[int, int], ...]
Sizes = int | Sequence[int]


def for_each_axis(name: str, value: Sizes, axes: int, least: int) -> Shape:
    """One integer for each spatial axis, none below ``least``.

    Raises:
        TypeError: one is no integer.
        ValueError: one is less, or they are neither one nor as many as the axes; the message names the argument.
    """
    values = as_shape(value, name)
    values = values * axes if len(values) == 1 else values
    if len(values) != axes or any(v < least for v in values):
        raise ValueError(f"{name}: expected an integer ≥ {least}, or {axes} of them, got {value}")
    return values


@dataclass(frozen=True)
class Windows:
    """Positions of windows over the last axes of an array; every field has an entry for each of these axes."""

    size: Shape  # of the array
    shape: Shape  # of a window: its number of elements
    stride: Shape  # from one window to the next
    dilation: Shape  # from one element of a window to the next
    padding: Padding  # elements put before and after the array; a negative number cuts elements off

    @cached_property
    def count(self) -> Shape:
        """Number of windows."""
        return tuple(
            (size + before + after - dilation * (shape - 1) - 1) // stride + 1
            for size, shape, stride, dilation, (before, after) in zip(
                self.size, self.shape, self.stride, self.dilation, self.padding, strict=True
            )
        )

    def places(self, axis: int, k: int) -> slice:
        """Places, along one axis of the padded array, of the k-th element of all windows."""
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
