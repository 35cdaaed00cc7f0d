"""Gradient clipping by global norm: the norm of many arrays and their scaling, two passes over memory.

Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.kernels.compiling.arguments import check_in_place, check_listed, check_listed_floats, check_numbers
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import array_at
from minigrad.kernels.optimizers.multi_tensor import address_in, overlap, table_of

WORK = 4  # multiply-adds that one element costs about as much as


def squared_norm(arrays: Sequence[np.ndarray]) -> float:
    """Σ x² over all arrays, added up in float64, so that large elements neither overflow nor hide small ones.

    Args:
        arrays: of any shapes and strides, all float32 or all float64.

    >>> squared_norm([np.array([3.0]), np.array([[4.0, 0.0]])])
    25.0
    """
    return float(squared_norms(arrays).sum())


def squared_norms(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Σ x² of each array, added up in float64: a float64 array of as many elements as there are arrays.

    Args:
        arrays: of any shapes and strides, all float32 or all float64.

    >>> squared_norms([np.array([3.0]), np.array([[4.0, 0.0]])])
    array([ 9., 16.])
    """
    check_listed("arrays", arrays)
    arrays = [np.asarray(array, order="C") for array in arrays]
    if not arrays:
        return np.zeros(0)
    check_listed_floats("arrays", arrays)
    table = table_of(arrays)
    parts = threads_for(WORK * int(table[-1, 1]))
    sums = np.zeros((parts, len(arrays)))
    _squared_norms(table, np.empty(0, arrays[0].dtype), sums, parts)
    return sums.sum(0)


@kernel()
def _squared_norms(table, like, sums, parts):
    in_parallel(parts, _squared_norms_part, (table, like, sums))


@kernel(fastmath=SUMS)
def _squared_norms_part(part, parts, table, like, sums):
    # table: (arrays, 3), see multi_tensor.py; like: of the arrays' dtype; sums: (parts, arrays)
    first, last = share(table[-1, 1], part, parts)
    for row in range(len(table)):
        start, count = overlap(table, row, first, last)
        total = 0.0
        x = array_at(address_in(table, row, 0, start, like.itemsize), count, like)
        for i in range(count):
            total += np.float64(x[i]) * np.float64(x[i])
        sums[part, row] = total


def scale_arrays(arrays: Sequence[np.ndarray], factor: float) -> None:
    """Multiply all arrays in place.

    Args:
        arrays: C-contiguous and writeable, all float32 or all float64.
        factor: rounded to their dtype first.

    >>> x, y = np.ones(1), np.ones((1, 2))
    >>> scale_arrays([x, y], 0.5)
    >>> x, y
    (array([0.5]), array([[0.5, 0.5]]))
    """
    check_listed("arrays", arrays)
    check_numbers(factor=factor)
    if not arrays:
        return
    check_listed_floats("arrays", arrays)
    for i, array in enumerate(arrays):
        if not array.flags.carray:
            check_in_place(f"arrays[{i}]", array)
    table = table_of(arrays)
    factors = np.array([factor], arrays[0].dtype)
    _scale(table, factors, threads_for(WORK * int(table[-1, 1])))


@kernel()
def _scale(table, factors, parts):
    in_parallel(parts, _scale_part, (table, factors))


@kernel()
def _scale_part(part, parts, table, factors):
    # table: (arrays, 3), see multi_tensor.py; factors: (1,)
    first, last = share(table[-1, 1], part, parts)
    factor = factors[0]
    for row in range(len(table)):
        start, count = overlap(table, row, first, last)
        x = array_at(address_in(table, row, 0, start, factors.itemsize), count, factors)
        for i in range(count):
            x[i] *= factor
