"""Top-k: the largest of many numbers, in order, without sorting the others.

The k largest so far form a heap with the least at its root, which a new number must beat to enter; blocks
whose maximum does not are passed over.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_integers, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.rowwise.maximum import row_max

BLOCK = 64  # numbers passed over at once


def top_k(x: np.ndarray, k: int, offset: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of ``x + offset`` in each group of rows, in descending order, of equal ones the first.

    Args:
        x: (groups, rows, n), float32 or float64, without NaN.
        k: how many, at least 1; all if there are fewer.
        offset: (groups, rows), added to each row in float64.

    Returns:
        values (groups, min(k, rows · n)), float64, and their places in the group, int64: row · n + column.

    Raises:
        TypeError: ``x`` is neither float32 nor float64, or ``k`` no integer.
        ValueError: ``x`` has not three dimensions, ``offset`` another shape, or ``k`` is less than 1.

    >>> values, places = top_k(np.array([[[0.0, 2.0, 1.0], [2.0, 0.0, 3.0]]]), 3)
    >>> values, places
    (array([[3., 2., 2.]]), array([[5, 1, 3]]))
    """
    check_floats(x=x)
    check_integers(k=k)
    if x.ndim != 3:
        raise ValueError(f"x must have three dimensions; got shape {x.shape}")
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    groups, rows, n = x.shape
    if offset is None:
        offset = np.zeros((groups, rows))
    check_shape("offset", offset, (groups, rows))
    k = min(k, rows * n)
    values, places = np.empty((groups, k)), np.empty((groups, k), np.int64)
    if places.size:
        offset = np.ascontiguousarray(offset, np.float64)
        _top_k(np.ascontiguousarray(x), offset, values, places, threads_for(x.size))
    return values, places


@kernel()
def _top_k(x, offset, values, places, parts):
    in_parallel(parts, _top_k_groups, (x, offset, values, places))


@kernel()
def _top_k_groups(part, parts, x, offset, values, places):
    # x: (groups, rows, n); offset: (groups, rows); values, places: (groups, k)
    _, rows, n = x.shape
    first, last = share(len(x), part, parts)
    for group in range(first, last):
        heap, at, count = values[group], places[group], 0
        k = len(heap)
        for row in range(rows):
            numbers, plus = x[group, row], offset[group, row]
            for start in range(0, n, BLOCK):
                block = numbers[start : start + BLOCK]
                if count == k and not row_max(block) + plus > heap[0]:
                    continue
                for i in range(len(block)):
                    value, place = block[i] + plus, row * n + start + i
                    if count < k:
                        heap[count], at[count] = value, place
                        count += 1
                        if count == k:
                            for parent in range(k // 2 - 1, -1, -1):
                                _sift_down(heap, at, parent, k)
                    elif value > heap[0]:
                        heap[0], at[0] = value, place
                        _sift_down(heap, at, 0, k)
        for size in range(k - 1, 0, -1):  # the least goes to the end
            heap[0], heap[size] = heap[size], heap[0]
            at[0], at[size] = at[size], at[0]
            _sift_down(heap, at, 0, size)


@kernel()
def _sift_down(heap, at, parent, size):
    """Move an element down a heap until no child is less; of equal ones that with the later place is less."""
    while 2 * parent + 1 < size:
        child = 2 * parent + 1
        if child + 1 < size and _less(heap, at, child + 1, child):
            child += 1
        if not _less(heap, at, child, parent):
            return
        heap[parent], heap[child] = heap[child], heap[parent]
        at[parent], at[child] = at[child], at[parent]
        parent = child


@kernel()
def _less(heap, at, a, b):
    return heap[a] < heap[b] or (heap[a] == heap[b] and at[a] > at[b])
