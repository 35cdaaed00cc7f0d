"""Polyphase layout of an image: padded, and elements a stride apart next to each other.

In it, each element of a window meets the elements of all windows in one contiguous run: with t the place along an axis
of the padded image, window q has its element k at t = stride · q + dilation · k, which is place q + ⌊dilation · k /
stride⌋ of phase dilation · k mod stride. Rows of results lie as far apart as rows of a phase, so that one run goes
over all of them; the places between two rows are computed and dropped.

Source: Vaidyanathan, "Multirate Systems and Filter Banks", 1993, section 4.3, on polyphase decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

LAYOUTS = 256  # kept: as many as the layers of a large network have


class Geometry(NamedTuple):
    """Windows over the spatial axes of an image, an entry for each axis."""

    size: tuple[int, ...]  # of the image
    window: tuple[int, ...]
    stride: tuple[int, ...]  # from window to window
    dilation: tuple[int, ...]  # from one element of a window to the next
    padding: tuple[tuple[int, int], ...]  # zeros before and after the image; negative numbers cut elements off

    @property
    def windows(self) -> tuple[int, ...]:
        """Number of windows."""
        return tuple(
            (size + sum(padding) - dilation * (window - 1) - 1) // stride + 1
            for size, window, stride, dilation, padding in zip(*self, strict=True)
        )

    @property
    def pointwise(self) -> bool:
        """True if every element is a window."""
        alone = set(self.window) | set(self.stride) == {1}
        return alone and all(pair == (0, 0) for pair in self.padding)


class Layout(NamedTuple):
    """Places in the polyphase layout."""

    places: int  # in all
    taps: np.ndarray  # (window,): where the run of each element of a window begins
    run: int  # how long it is
    rows: np.ndarray  # (rows,): where each row of the image begins, or -1 if it is cut off
    phases: np.ndarray  # (stride, 3): of the columns of a phase, the place in such a row, the first column, the number
    results: np.ndarray  # (rows,): where each row of results begins in the run
    cut: bool  # whether elements of the image have no place


@lru_cache(LAYOUTS)
def layout(geometry: Geometry) -> Layout:
    """The layout of images under these windows."""
    size, window, stride, dilation, padding = geometry
    before = [pair[0] for pair in padding]
    length = [  # of a phase
        count + d * (k - 1) // s for count, k, s, d in zip(geometry.windows, window, stride, dilation, strict=True)
    ]
    phase = math.prod(length)

    def places(axis: int, along: np.ndarray) -> np.ndarray:
        """Places of what lies at these distances along an axis of the padded image; -1 if cut off."""
        inside = (along >= 0) & (along // stride[axis] < length[axis])
        of_phase, of_place = math.prod(stride[axis + 1 :]) * phase, math.prod(length[axis + 1 :])
        return np.where(inside, along % stride[axis] * of_phase + along // stride[axis] * of_place, -1)

    axes = range(len(size))
    *of_rows, of_columns = (places(axis, np.arange(size[axis]) + before[axis]) for axis in axes)
    columns = []
    for start in range(stride[-1]):
        first = (start - before[-1]) % stride[-1]
        inside = np.flatnonzero(of_columns[first :: stride[-1]] >= 0)
        at = first + int(inside[0]) * stride[-1] if len(inside) else 0
        columns.append((int(of_columns[at]) if len(inside) else 0, at, len(inside)))
    starts = _sums(of_rows)
    results = _sums([np.arange(n) * math.prod(length[axis + 1 :]) for axis, n in enumerate(geometry.windows)])
    return Layout(
        math.prod(stride) * phase,
        _sums([places(axis, np.arange(window[axis]) * dilation[axis]) for axis in axes]),
        int(results[-1]) + 1,
        starts,
        np.array(columns),
        results[:: geometry.windows[-1]].copy(),
        bool((starts < 0).any() or (of_columns < 0).any()),
    )


def _sums(terms: Sequence[np.ndarray]) -> np.ndarray:
    """Sums of one of each of the terms, row by row; -1 where one is."""
    total = np.zeros(1, np.int64)
    for term in terms:
        sums = (total[:, None] + term).ravel()
        total = np.where(((total[:, None] < 0) | (term < 0)).ravel(), -1, sums)
    return total
