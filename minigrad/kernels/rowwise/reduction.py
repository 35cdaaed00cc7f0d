"""Reductions over rows and over channels: gradients of a bias that is added to every row, or all over a channel."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import FLOATS, check_floats
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for

WORK = 2  # multiply-adds that one element costs about as much as
BLOCK = 32  # rows summed up on their own, so that rounding errors grow with the number of blocks
CHUNK = 1024  # elements in a row that are added up in their own precision before double precision takes over


def sum_rows(x: np.ndarray) -> np.ndarray:
    """The sum of all rows.

    Args:
        x: (N, n), float32 or float64.

    Returns:
        (n,), of the dtype of ``x``.

    >>> sum_rows(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([4., 6.])
    """
    if type(x) is not np.ndarray or x.dtype not in FLOATS:
        check_floats(x=x)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (N, n); got {x.shape}")
    total = np.zeros(x.shape[1], x.dtype)
    if x.size:
        _sum_rows(np.ascontiguousarray(x), total, threads_for(WORK * x.size))
    return total


@kernel()
def _sum_rows(x, total, parts):
    in_parallel(parts, _sum_columns, (x, total))


@kernel()
def _sum_columns(part, parts, x, total):
    # x: (N, n); total: (n,)
    left, right = share(x.shape[1], part, parts)
    block = np.empty(right - left, x.dtype)
    target = total[left:right]
    for first in range(0, len(x), BLOCK):
        block[:] = 0
        for row in range(first, min(first + BLOCK, len(x))):
            source = x[row, left:right]
            for i in range(len(block)):
                block[i] += source[i]
        for i in range(len(block)):
            target[i] += block[i]


def sum_channels(x: np.ndarray) -> np.ndarray:
    """The sum over all axes but the second.

    Args:
        x: (N, C, ...), float32 or float64.

    Returns:
        (C,), of the dtype of ``x``.

    >>> sum_channels(np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]))
    array([14., 22.])
    """
    check_floats(x=x)
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, C, ...); got {x.shape}")
    total = np.zeros(x.shape[1], x.dtype)
    if x.size:
        _sum_channels(np.ascontiguousarray(x).reshape(*x.shape[:2], -1), total, threads_for(WORK * x.size))
    return total


@kernel()
def _sum_channels(x, total, parts):
    in_parallel(parts, _sum_each_channel, (x, total))


@kernel(fastmath=SUMS)
def _sum_each_channel(part, parts, x, total):
    # x: (N, C, size); total: (C,)
    first, last = share(x.shape[1], part, parts)
    for channel in range(first, last):
        whole = 0.0
        for n in range(len(x)):
            whole += sum_run(x[n, channel])
        total[channel] = whole


@kernel(fastmath=SUMS)
def sum_run(run):
    """The sum of a contiguous run, in double precision, only for use inside kernels."""
    total = 0.0
    for start in range(0, len(run), CHUNK):
        chunk, partial = run[start : start + CHUNK], run.dtype.type(0)
        for i in range(len(chunk)):
            partial += chunk[i]
        total += partial
    return total
