"""Attention scores by tiles: packed products, masks, online softmax and dropout of a part of a row.

Everything is raw memory, given by address and by strides in bytes; ``buffer`` is an array that says the element type,
and ``form`` one that says the format of the products' packed operands (``operand_format.py``).
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.attention.online_softmax import SIDE_BY_SIDE, online_softmax_rows
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.linking import call_at
from minigrad.kernels.compiling.vector import array_at
from minigrad.kernels.elementwise.dropout import random_bits, row_key
from minigrad.kernels.products.blocking import multiply_piece

# Kinds of masks, and their coverage of a tile.
NO_MASK, BOOLEAN, ADDED = range(3)
NOTHING, SOMETHING, EVERYTHING = range(3)


@kernel()
def multiply_panels(piece, rows, columns, inner, a, a_row, a_column, b, b_panel, b_row, c, c_row, more, packed, form):
    """C (rows, columns) = A (rows, inner) @ B (inner, columns), or C += if ``more``.

    ``piece`` is the address of ``multiply_piece``, and B stands in panels. Of C the elements of a row are neighbours.
    At ``packed`` there is room for A, which is floats, as the format has it.
    """
    sizes, strides = (rows, columns, inner), (a_row, a_column, b_row, 0, c_row)
    call_at(piece, multiply_piece, (a, b, b_panel, c, sizes, strides, c if more else 0, c_row, packed, form))


@kernel()
def copy_rows(rows, columns, source, source_row, target, target_row, scale, buffer):
    """target = source * scale."""
    factor = buffer.dtype.type(scale)
    for row in range(rows):
        line, copied = (
            array_at(source + row * source_row, columns, buffer),
            array_at(target + row * target_row, columns, buffer),
        )
        for i in range(columns):
            copied[i] = line[i] * factor


@kernel()
def mask_coverage(kind, mask, mask_row, rows, columns):
    """Coverage of a tile by a mask: NOTHING, SOMETHING or EVERYTHING of it may be attended to."""
    if kind != BOOLEAN:
        return EVERYTHING if kind == NO_MASK else SOMETHING
    all_seen, any_seen = np.uint8(1), np.uint8(0)
    for row in range(rows if mask_row != 0 else 1):
        seen = array_at(mask + row * mask_row, columns, np.uint8)
        for i in range(columns):
            all_seen &= seen[i]
            any_seen |= seen[i]
    return EVERYTHING if all_seen else SOMETHING if any_seen else NOTHING


@kernel()
def apply_mask(kind, mask, scores):
    """Hide the scores of keys that a query may not attend to, or add to the scores."""
    n = len(scores)
    if kind == BOOLEAN:
        seen = array_at(mask, n, np.uint8)
        for i in range(n):
            scores[i] = scores[i] if seen[i] else -math.inf
    else:
        added = array_at(mask, n, scores)
        for i in range(n):
            scores[i] += added[i]


@kernel()
def online_softmax(rows, columns, scores, step, largest, total, factor, buffer):
    """``online_softmax_rows`` for any number of rows."""
    row = 0
    while row < rows:
        count = SIDE_BY_SIDE[0] if row + SIDE_BY_SIDE[0] <= rows else 1
        at = row * buffer.itemsize
        online_softmax_rows(count, columns, scores + row * step, step, largest + at, total + at, factor + at, buffer)
        row += count


@kernel()
def dropout_row(values, seed, row, column, below, scale):
    """Dropout of a part of a row, from ``column`` on."""
    key, limit, factor = row_key(seed, row), np.uint32(below), values.dtype.type(scale)
    for i in range(len(values)):
        scaled = values[i] * factor
        values[i] = scaled if random_bits(key, column + i) >= limit else values.dtype.type(0)
