"""Reduction over the rows of a matrix: the gradient of a bias that is added to every row."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import FLOATS, check_floats
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for

WORK = 2  # multiply-adds that one element costs about as much as
BLOCK = 32  # rows summed up on their own, so that rounding errors grow with the number of blocks


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
