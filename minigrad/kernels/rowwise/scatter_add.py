"""Scatter-add of rows at given indices: the gradient of an embedding table."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_in_place, check_indices, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for


def add_rows(out: np.ndarray, indices: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """out[indices[i]] += rows[i] for every i, where an index that repeats adds every time.

    Each thread adds its own columns in the order of ``indices``, so the result is the same bits on every run.

    Args:
        out: (V, D), C-contiguous, float32 or float64; changed in place.
        indices: (...) integers of [0, V).
        rows: (..., D), of the dtype of ``out``.

    Returns:
        ``out``.

    Raises:
        TypeError: no floats, mixed floats, or indices that are no integers.
        ValueError: a shape does not fit or ``out`` cannot be changed in place.
        IndexError: an index outside [0, V).

    >>> add_rows(np.zeros((3, 2)), np.array([2, 0, 2]), np.ones((3, 2)))
    array([[1., 1.],
           [0., 0.],
           [2., 2.]])
    """
    check_floats(out=out, rows=rows)
    if out.ndim != 2:
        raise ValueError(f"out must have shape (V, D); got {out.shape}")
    check_in_place("out", out)
    check_indices("indices", indices, out.shape[0])
    check_shape("rows", rows, (*indices.shape, out.shape[1]))
    if rows.size:
        _add_rows(
            out,
            np.ascontiguousarray(indices, np.int64).reshape(-1),
            np.ascontiguousarray(rows).reshape(-1, out.shape[1]),
            threads_for(2 * rows.size),
        )
    return out


@kernel()
def _add_rows(out, indices, rows, parts):
    in_parallel(parts, _add_columns, (out, indices, rows))


@kernel()
def _add_columns(part, parts, out, indices, rows):
    # out: (V, D); indices: (N,); rows: (N, D)
    left, right = share(out.shape[1], part, parts)
    for i in range(len(indices)):
        target, source = out[indices[i], left:right], rows[i, left:right]
        for column in range(len(target)):
            target[column] += source[column]
