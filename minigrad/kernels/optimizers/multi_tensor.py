"""Multi-tensor kernels: many arrays, such as all parameters of a model, in one call, divided among the threads.

A table of their addresses and sizes goes to the kernel, and each thread takes an equal share of all elements together:
a model of a thousand small arrays costs no more than one large array.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.vector import address_of_id


def table_of(*columns: Sequence[np.ndarray]) -> np.ndarray:
    """A row for each position of the columns: where the elements of its first array start and end, counted through all
    rows, then the ids of its arrays, which must outlive the table."""
    ends = np.cumsum([array.size for array in columns[0]], dtype=np.int64)
    table = np.empty((len(ends), 2 + len(columns)), np.int64)
    table[:, 1] = ends
    table[1:, 0] = ends[:-1]
    table[:1, 0] = 0
    for number, column in enumerate(columns, 2):
        table[:, number] = list(map(id, column))
    return table


@kernel()
def overlap(table, row, first, last):
    """The part of a row's elements that lies in [first, last) of all elements: where it starts, and how many."""
    start = max(first, table[row, 0])
    return start - table[row, 0], max(min(last, table[row, 1]) - start, 0)


@kernel()
def address_in(table, row, column, start, itemsize):
    """The address of element ``start`` of the array in a column of the table, counted from 0 behind the bounds."""
    return address_of_id(table[row, 2 + column]) + start * itemsize
