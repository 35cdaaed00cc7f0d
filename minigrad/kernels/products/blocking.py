"""Blocked matrix product of raw memory: addresses and strides in bytes, the operands' format from a workspace.

The blocking is BLIS's (Van Zee & van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", ACM
TOMS 41, 2015), three loops around the register tile of ``register_tile.py``, each of which keeps something in a cache:

                 KC                   NC columns                         NC columns
             +---------+          +--+--+--+--+---+                  +--+--+--+--+---+
          MC | A block |       KC |  B block, in  |               MC |  C, a tile at |
             +---------+     x    |  panels of    |        +=        |  a time        |
             | ...     |          |  a tile width |                  +----------------+
             +---------+          +--+--+--+--+---+                  | ...            |

    for NC columns of C:   for KC steps of the sum:    pack the block of B       last-level cache
        for MC rows of C:                              pack the block of A       second level
            for each panel of B:                                                 first level
                for each panel of A:                   multiply_tile             registers

Packing (``packing.py``) undoes strides: a transposed operand costs no more than another. Small operands whose elements
lie in the right order are read where they are, unless they are rounded: float32 is packed as bfloat16 into a workspace
of uint16. Each thread computes whole products of a batch, or its own piece of C
with its own packed blocks: what little is packed twice costs less than waiting for each other. Every element of C is
summed up in the same order whoever does it, so the result does not depend on the threads.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import config, from_dtype, types

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.helper import compile_beside
from minigrad.kernels.compiling.linking import call_at
from minigrad.kernels.compiling.parallel import in_parallel
from minigrad.kernels.compiling.vector import address_of_array, address_of_id
from minigrad.kernels.products.packing import lane_bytes, lane_steps, pack_a, pack_b, panel_width, tile_height
from minigrad.kernels.products.register_tile import (
    DOT_SIDE,
    ROW_DEPTHS,
    TILE_ROWS,
    multiply_dots,
    multiply_row,
    multiply_tile,
)

# Blocks, in elements. A panel of B (KC x two vectors) serves all panels of a block of A (MC x KC, 220 kilobytes in
# float32), which stays in the second level meanwhile; a block of B (KC x NC) stays in the last level while blocks of A
# pass. A tile's sums are so long that loading and storing it hardly counts.
KC = 384
MC = 12 * TILE_ROWS
NC = 1024
# Reading B in place costs less than packing it for this many rows, or where a block of it fits the first-level cache.
IN_PLACE_ROWS = 64
IN_PLACE_BYTES = 1 << 15
# Reading A in place costs less than packing it for this many columns, or for more where a tile reads along rows that
# lie close together: rows a page apart would share one set of the first-level cache. Across rows, as in the product of
# a weight's gradient, each panel of B reads lines of all of them again, which therefore must fit the second level.
IN_PLACE_COLUMNS = 96
IN_PLACE_COLUMNS_ALONG = 384
IN_PLACE_ROW_BYTES = 1 << 11
IN_PLACE_A_BYTES = 1 << 21
# A single row's part of C: it stays in cache while rows of B are added to it, and long runs of those are read faster.
ROW_COLUMNS = 1 << 13
# Inner products serve up to so many rows, and only where they are long enough to be worth summing up a register.
FEW_ROWS = 8
DOT_INNER = 128

BFLOAT16: np.dtype[Any] = np.dtype(np.uint16)

_CACHE_LINE = 64
THREAD_BUFFER = MC * KC + KC * NC  # elements of one thread's packed blocks


def packed_dtype(dtype: np.dtype[Any], precision: str | None) -> np.dtype[Any]:
    """The dtype of operands of this one when packed: for bfloat16 its bits."""
    return BFLOAT16 if precision == "bfloat16" and dtype == np.float32 else dtype


@cache
def workspace(dtype: np.dtype[Any]) -> np.ndarray:
    """Workspace for all threads' packed blocks, kept for the life of the process; untouched pages take up no memory.

    Products share it without a lock, for a kernel holds the GIL.
    """
    buffer = np.empty(config.NUMBA_NUM_THREADS * THREAD_BUFFER + _CACHE_LINE, dtype)  # type: ignore[attr-defined]
    return buffer[-buffer.ctypes.data % _CACHE_LINE // dtype.itemsize :]


@cache
def piece_entry(dtype: np.dtype[Any]) -> int:
    """Address of the machine code of ``multiply_piece``; while it is compiled, a helper goes on to other kernels."""
    number, array = types.int64, types.Array(from_dtype(dtype), 1, "C")
    three, five = types.UniTuple(number, 3), types.UniTuple(number, 5)
    signature = (number, number, number, number, three, five, number, number, number, array)
    if dtype.kind == "f" and (kept := multiply_piece.code_cache) and not kept.holds(signature):
        compile_beside(dtype.name)
    return multiply_piece.address(signature)


@kernel()
def multiply(a_id, b_id, c_id, m, n, k, a_row, a_column, b_row, b_column, c_row, bias_id, batch, buffer, piece, parts):
    """C (m, n) = A (m, k) @ B (k, n) + bias (n,) for the arrays of these ids, C's columns being neighbours.

    Without a bias its id is 0. ``batch`` holds (size, A's stride, B's stride, C's stride) of every leading dimension,
    one after the other. ``piece`` is ``piece_entry`` of the workspace's dtype.
    """
    a, b, c = address_of_id(a_id), address_of_id(b_id), address_of_id(c_id)
    bias = address_of_id(bias_id) if bias_id else 0
    sizes, strides = (m, n, k), (a_row, a_column, b_row, b_column, c_row)
    in_parallel(parts, _multiply_part, (a, b, c, sizes, strides, bias, batch, buffer, piece))


@kernel()
def _multiply_part(part, parts, a, b, c, sizes, strides, bias, batch, buffer, piece):
    """One thread's part: whole products where they can be shared out evenly enough, else a piece of each."""
    m, n, k = sizes
    a_row, _, _, b_column, c_row = strides
    item, strip = lane_bytes(buffer), panel_width(buffer)
    packed = address_of_array(buffer) + part * THREAD_BUFFER * buffer.itemsize
    items = 1
    for dim in range(0, len(batch), 4):
        items *= batch[dim]
    first, last = 0, items
    top, bottom, left, right = 0, m, 0, n
    if items % parts == 0 or items >= 4 * parts:
        first, last = items * part // parts, items * (part + 1) // parts
    else:
        high = pieces_of_rows(parts, m, n, strip)
        wide = parts // high
        top, bottom = bounds(m, TILE_ROWS, part // wide, high)
        left, right = bounds(n, strip, part % wide, wide)
    plus = bias + left * item if bias else 0
    for index in range(first, last):
        a_at, b_at, c_at = a + top * a_row, b + left * b_column, c + top * c_row + left * item
        rest = index
        for dim in range(len(batch) - 4, -1, -4):
            place = rest % batch[dim]
            rest //= batch[dim]
            a_at += place * batch[dim + 1]
            b_at += place * batch[dim + 2]
            c_at += place * batch[dim + 3]
        arguments = a_at, b_at, 0, c_at, (bottom - top, right - left, k), strides, plus, 0, packed, buffer
        call_at(piece, multiply_piece, arguments)


@kernel()
def pieces_of_rows(parts, m, n, strip):
    """Number of pieces of C's rows, its columns being cut into the rest: even first, then square to pack least."""
    row_tiles, column_tiles = (m + TILE_ROWS - 1) // TILE_ROWS, (n + strip - 1) // strip
    best, best_cost = 1, np.inf
    for high in range(1, parts + 1):
        wide = parts // high
        if high * wide == parts:
            rows, columns = (row_tiles + high - 1) // high, (column_tiles + wide - 1) // wide
            cost = rows * columns + 1e-6 * (rows * TILE_ROWS + columns * strip)
            if cost < best_cost:
                best, best_cost = high, cost
    return best


@kernel()
def bounds(size, step, index, count):
    """Part ``index`` of ``count`` of a range, cut at multiples of ``step``."""
    steps = (size + step - 1) // step
    return min(size, steps * index // count * step), min(size, steps * (index + 1) // count * step)


@kernel()
def _even_block(k):
    """The depth of blocks that cut ``k`` evenly."""
    blocks = (k + KC - 1) // KC
    return (k + blocks - 1) // blocks if blocks > 0 else 1


@kernel()
def multiply_piece(a, b, b_panel, c, sizes, strides, plus, plus_row, packed, buffer):
    """C (m, n) = A (m, k) @ B (k, n) + plus (m, n) on this thread; ``plus`` may be C, or 0 for nothing.

    B is a matrix if ``b_panel`` is 0. Else it stands in panels of ``panel_width`` columns, so many bytes from one to
    the next, in the format of its lanes. ``packed`` is the address of THREAD_BUFFER elements for packed blocks, of A
    alone if B is in panels, and ``buffer`` an array of their type. At address 0 nothing is packed: A's rows and B's
    columns must be contiguous.
    """
    if b_panel:
        _multiply_panels(a, b, b_panel, c, sizes, strides, plus, plus_row, packed, buffer)
    else:
        _multiply_matrices(a, b, c, sizes, strides, plus, plus_row, packed, buffer)


@kernel(inlined=True)
def _multiply_panels(a, b, b_panel, c, sizes, strides, plus, plus_row, packed, buffer):
    (m, n, k), (a_row, a_column, b_row, _, c_row) = sizes, strides
    item, strip, steps = lane_bytes(buffer), panel_width(buffer), lane_steps(k, buffer)
    pack = item != buffer.itemsize
    if pack:
        pack_a(m, k, a, a_row, a_column, packed, buffer)
        a = packed
    for column in range(0, n, strip):
        summands = plus + column * item if plus else 0
        width, target = min(strip, n - column), c + column * item
        _multiply_panel(m, width, steps, a, a_row, a_column, pack, b, b_row, target, c_row, summands, plus_row, buffer)
        b += b_panel


@kernel(inlined=True)
def _multiply_panel(rows, width, steps, a, a_row, a_column, packed, b, b_step, c, c_row, plus, plus_row, buffer):
    """All rows of a panel of C; the only place that calls for register tiles, which take long to compile."""
    item = lane_bytes(buffer)
    row = 0
    while row < rows:
        height = tile_height(rows - row)
        a_panel, a_across, a_step = a + row * a_row, a_row, a_column
        if packed:
            a_panel, a_across, a_step = a + row * steps * item, item, height * item
        target, summands = c + row * c_row, plus + row * plus_row if plus else 0
        multiply_tile(
            height, width, steps, a_panel, a_across, a_step, b, b_step, target, c_row, summands, plus_row, buffer
        )
        row += height


@kernel()
def _multiply_matrices(a, b, c, sizes, strides, plus, plus_row, packed, buffer):
    m, n, k = sizes
    a_row, a_column, b_row, b_column, c_row = strides
    item = lane_bytes(buffer)
    few = m <= FEW_ROWS and k >= DOT_INNER and a_column == item and b_row == item and b_column != item
    if few or packed == 0:
        _multiply_by_dots(a, b, c, m, n, k, a_row, b_column, c_row, plus, plus_row, buffer)
        return
    if m == 1 and b_column == item:
        _multiply_row(a, b, c, n, k, a_column, b_row, plus, buffer)
        return
    along = a_column == item and abs(a_row) <= IN_PLACE_ROW_BYTES
    near = a_column == item or (a_row == item and abs(a_column) * k <= IN_PLACE_A_BYTES)
    exact = item == buffer.itemsize
    a_in_place = exact and near and n <= (IN_PLACE_COLUMNS_ALONG if along else IN_PLACE_COLUMNS)
    b_in_place = exact and b_column == item and (m <= IN_PLACE_ROWS or abs(b_row) * min(k, KC) <= IN_PLACE_BYTES)
    strip = panel_width(buffer)
    block = _even_block(k)
    panels = packed + MC * KC * buffer.itemsize
    for left in range(0, n, NC):
        columns = min(NC, n - left)
        for start in range(0, max(k, 1), block):  # an empty sum is still written
            depth = min(block, k - start)
            steps = lane_steps(depth, buffer)
            b_block = b + start * b_row + left * b_column
            if not b_in_place:
                pack_b(columns, depth, b_block, b_column, b_row, panels, buffer)
            for top in range(0, m, MC):
                rows = min(MC, m - top)
                a_block = a + top * a_row + start * a_column
                if not a_in_place:
                    pack_a(rows, depth, a_block, a_row, a_column, packed, buffer)
                for column in range(0, columns, strip):
                    width = min(strip, columns - column)
                    b_panel, b_step = b_block + column * item, b_row
                    if not b_in_place:
                        b_panel, b_step = panels + column * steps * item, strip * item
                    target = c + top * c_row + (left + column) * item
                    summands, summands_row = target, c_row  # the sum over earlier blocks of k
                    if start == 0:
                        summands, summands_row = plus, plus_row
                        if plus:
                            summands += top * plus_row + (left + column) * item
                    _multiply_panel(
                        rows,
                        width,
                        steps,
                        a_block if a_in_place else packed,
                        a_row,
                        a_column,
                        not a_in_place,
                        b_panel,
                        b_step,
                        target,
                        c_row,
                        summands,
                        summands_row,
                        buffer,
                    )


@kernel()
def _multiply_row(a, b, c, n, k, a_column, b_row, plus, buffer):
    """A single row of A, where B's rows are contiguous: B is read once, as it lies."""
    item = lane_bytes(buffer)
    for left in range(0, n, ROW_COLUMNS):
        columns = min(ROW_COLUMNS, n - left)
        start = 0
        while start < max(k, 1):  # an empty sum is still written
            depth = ROW_DEPTHS[0] if start + ROW_DEPTHS[0] <= k else min(k, 1)
            multiply_row(
                depth,
                columns,
                a + start * a_column,
                a_column,
                b + start * b_row + left * item,
                b_row,
                c + left * item,
                c + left * item if start else plus + left * item if plus else 0,
                buffer,
            )
            start += max(depth, 1)


@kernel()
def _multiply_by_dots(a, b, c, m, n, k, a_row, b_column, c_row, plus, plus_row, buffer):
    wide = DOT_SIDE
    column = 0
    while column < n:
        columns = wide if column + wide <= n else 1
        row = 0
        while row < m:
            rows = DOT_SIDE if row + DOT_SIDE <= m else 1
            multiply_dots(
                rows,
                columns,
                k,
                a + row * a_row,
                a_row,
                b + column * b_column,
                b_column,
                c + row * c_row + column * lane_bytes(buffer),
                c_row,
                plus + row * plus_row + column * lane_bytes(buffer) if plus else 0,
                plus_row,
                buffer,
            )
            row += rows
        column += columns
