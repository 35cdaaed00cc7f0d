"""Linear recurrences along rows: each element adds a multiple of the one before it.

rᵢ = bᵢ + aᵢ rᵢ₋₁ from the left, and its transpose from the right, sᵢ = bᵢ + aᵢ₊₁ sᵢ₊₁: aᵢ links i - 1 and i in both.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_shape
from minigrad.kernels.compiling.compiler import kernel


def linear_recurrence(b: np.ndarray, a: np.ndarray, axis: int = -1, reverse: bool = False) -> np.ndarray:
    """The recurrence above along one axis, from the left or, ``reverse``, from the right.

    Args:
        b: the summands, float32 or float64.
        a: the links, of the shape and dtype of ``b``; the first along the axis is not used.
        axis: where to go along.
        reverse: from the last element to the first.

    >>> linear_recurrence(np.ones(4), np.full(4, 2.0))
    array([ 1.,  3.,  7., 15.])
    """
    check_floats(b=b, a=a)
    check_shape("a", a, b.shape)
    moved_b, moved_a = (np.moveaxis(array, axis, -1) for array in (b, a))
    out = np.empty(moved_b.shape, b.dtype)
    if out.size:
        rows_b, rows_a = (np.ascontiguousarray(array).reshape(-1, array.shape[-1]) for array in (moved_b, moved_a))
        _linear_recurrence(rows_b, rows_a, out.reshape(rows_b.shape), reverse)
    return np.moveaxis(out, -1, axis)


@kernel()
def _linear_recurrence(b, a, out, reverse):
    # b, a, out: (rows, n)
    rows, n = b.shape
    for row in range(rows):
        if reverse:
            out[row, n - 1] = b[row, n - 1]
            for i in range(n - 2, -1, -1):
                out[row, i] = b[row, i] + a[row, i + 1] * out[row, i + 1]
        else:
            out[row, 0] = b[row, 0]
            for i in range(1, n):
                out[row, i] = b[row, i] + a[row, i] * out[row, i - 1]
