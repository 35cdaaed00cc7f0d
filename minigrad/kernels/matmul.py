"""Matrix product of strided float32 or float64 arrays on all cores.

The blocking is BLIS's (Van Zee & van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", ACM
TOMS 41, 2015): blocks of A and B are packed into panels that stream through the register tile of ``vector.py``. Small
operands whose elements already lie in the right order are read in place.

Inside, every array is an address with strides in bytes; the element type comes from the workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import config

from minigrad.kernels import vector
from minigrad.kernels.compiler import kernel
from minigrad.kernels.parallel import in_parallel, launcher, threads_for
from minigrad.kernels.vector import (
    DOT_STEPS,
    ROW_STEPS,
    ROW_VECTORS,
    TILE_ROWS,
    TILE_VECTORS,
    array_address,
    data_address,
    load,
    move_vector,
    multiply_dots,
    multiply_tile,
    store,
    transpose_block,
)

# Blocks. A panel of A (TILE_ROWS x KC) and one of B (KC x two vectors) share the first-level cache; a block of A
# (MC x KC, a quarter megabyte in float32) stays in the second level while B's panels pass; a block of B (KC x NC)
# stays in the last level while blocks of A pass.
KC = 256
MC = 20 * TILE_ROWS
NC = 1024
# Packing B pays once more rows than these reuse it, unless the block fits the first-level cache as it lies.
DIRECT_ROWS = 2 * TILE_ROWS
DIRECT_BYTES = 1 << 15
# Packing A pays once it is reused by more columns than these.
DIRECT_COLUMNS = 512
# Products with at most this many rows take inner products where B's columns are contiguous ...
DOT_ROWS = 8
# ... and long enough to be worth adding up a register at the end.
DOT_INNER = 128

_LINE = 64  # bytes of a cache line, which packed panels are aligned to


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Matrix product ``a @ b`` with NumPy's broadcasting.

    Args:
        a: (..., M, K) or (K,), float32 or float64, any strides.
        b: (..., K, N) or (K,), of the same dtype, any strides.
        out: where to put the result, of exactly its shape and dtype; a new array by default.

    Returns:
        (..., M, N); without M for a 1-d ``a`` and without N for a 1-d ``b``. The same bits for the same input whatever
        the number of threads.

    Raises:
        TypeError: an operand is no float32 or float64 array, or the dtypes differ.
        ValueError: the shapes do not fit together.

    >>> matmul(np.eye(2, dtype=np.float32), np.array([[1, 2], [3, 4]], np.float32))
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    dtype = a.dtype
    workspace = _WORKSPACES.get(dtype)
    if workspace is None:
        workspace = _workspace("a", dtype)
    if b.dtype != dtype:
        raise TypeError(f"b must have the dtype of a, {dtype}; got {b.dtype}")
    a_shape, b_shape = a.shape, b.shape
    if len(a_shape) != 2 or len(b_shape) != 2:
        return _matmul_nd(a, b, out)
    (m, k), (inner, n) = a_shape, b_shape
    if k != inner:
        raise ValueError(f"a of shape {a_shape} and b of shape {b_shape} do not fit: {k} columns meet {inner} rows")
    result = np.empty((m, n), dtype) if out is None else _target(out, (m, n), a, b)
    _launch(a, b, result, m, n, k, a.strides, b.strides, result.strides, (), workspace)
    if out is None or out is result:
        return result
    out[...] = result
    return out


def _matmul_nd(a: np.ndarray, b: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """The general case: 1-d operands and leading dimensions."""
    for name, operand in (("a", a), ("b", b)):
        if operand.ndim == 0:
            raise ValueError(f"{name} must have at least one dimension; got a scalar")
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    (m, k), (inner, n) = left.shape[-2:], right.shape[-2:]
    if k != inner:
        raise ValueError(f"a of shape {a.shape} and b of shape {b.shape} do not fit: {k} columns meet {inner} rows")
    try:
        lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(f"a of shape {a.shape} and b of shape {b.shape} do not broadcast") from None
    shape = lead + (m,) * (a.ndim > 1) + (n,) * (b.ndim > 1)
    result = np.empty(shape, a.dtype) if out is None else _target(out, shape, a, b)
    full = result[..., None] if b.ndim == 1 else result
    if a.ndim == 1:
        full = full[..., None, :]
    a_lead = _broadcast_strides(left, lead)
    b_lead = _broadcast_strides(right, lead)
    dims = _merged([(size, *strides) for size, *strides in zip(lead, a_lead, b_lead, full.strides[:-2], strict=True)])
    a_strides, c_strides = left.strides[-2:], full.strides[-2:]
    if dims and dims[-1][2] == 0 and (m == 1 or _follows(dims[-1], m, a_strides[0], c_strides[0])):
        # One b serves a whole dimension of a: its matrices stand on each other as one tall matrix.
        size, a_step, _, c_step = dims.pop()
        if m == 1:
            a_strides, c_strides = (a_step, a_strides[1]), (c_step, c_strides[1])
        m *= size
    _launch(left, right, full, m, n, k, a_strides, right.strides[-2:], c_strides, dims, _WORKSPACES[a.dtype])
    if out is None or out is result:
        return result
    out[...] = result
    return out


def _launch(a: np.ndarray, b: np.ndarray, c: np.ndarray, m: int, n: int, k: int, a_strides: tuple[int, ...],
            b_strides: tuple[int, ...], c_strides: tuple[int, ...], dims: Sequence[tuple[int, ...]], workspace: np.ndarray) -> None:
    """Compute with C's rows contiguous: the transposed product where its columns are, or where there is but one."""
    work = m * n * (k + 1)
    for size, *_ in dims:
        work *= size
    if work == 0:
        return
    (a_row, a_column), (b_row, b_column), (c_row, c_column) = a_strides, b_strides, c_strides
    if c_row == c.itemsize and (n == 1 or c_column != c_row):
        a, b, m, n = b, a, n, m
        a_row, a_column, b_row, b_column, c_row = b_column, b_row, a_column, a_row, c_column
        dims = [(size, b_step, a_step, c_step) for size, a_step, b_step, c_step in dims]
    batch = np.array(dims, np.int64).ravel() if dims else _NO_BATCH
    _multiply(id(a), id(b), id(c), m, n, k, a_row, a_column, b_row, b_column, c_row, batch, workspace,
              threads_for(work), launcher())


def _target(out: np.ndarray, shape: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``out`` itself, or a stand-in to copy from where it overlaps an operand or no dimension of it is contiguous."""
    if out.dtype != a.dtype:
        raise TypeError(f"out must have the dtype of the operands, {a.dtype}; got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must have the shape of the product, {shape}; got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array")
    ends = out.strides[-2:] if a.ndim > 1 and b.ndim > 1 else out.strides[-1:]
    if out.itemsize in ends and not np.may_share_memory(out, a) and not np.may_share_memory(out, b):
        return out
    return np.empty(shape, out.dtype)


def _broadcast_strides(array: np.ndarray, lead: tuple[int, ...]) -> list[int]:
    """Strides of the leading dimensions, 0 where ``array`` repeats along them."""
    own = [0 if size == 1 else stride for size, stride in zip(array.shape[:-2], array.strides[:-2], strict=True)]
    return [0] * (len(lead) - len(own)) + own


def _merged(dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """(size, a stride, b stride, c stride) of leading dimensions, neighbours merged where one stride serves both."""
    merged: list[tuple[int, ...]] = []
    for dim in dims:
        if dim[0] == 1:
            continue
        if merged and all(outer == inner * dim[0] for outer, inner in zip(merged[-1][1:], dim[1:], strict=True)):
            merged[-1] = (merged[-1][0] * dim[0], *dim[1:])
        else:
            merged.append(dim)
    return merged


def _follows(dim: tuple[int, ...], m: int, a_row: int, c_row: int) -> bool:
    return dim[1] == m * a_row and dim[3] == m * c_row


@cache
def _workspace(name: str, dtype: np.dtype[Any]) -> np.ndarray:
    """Room for every thread's packed blocks, kept for the life of the process; touched only where used."""
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be a float32 or float64 array; got {dtype}")
    room = np.empty(config.NUMBA_NUM_THREADS * _THREAD_ROOM + _LINE, dtype)
    room = room[-room.ctypes.data % _LINE // dtype.itemsize :]
    return _WORKSPACES.setdefault(dtype, room)


_WORKSPACES: dict[np.dtype[Any], np.ndarray] = {}
_THREAD_ROOM = MC * KC + KC * NC
_NO_BATCH = np.empty(0, np.int64)


@kernel()
def _multiply(a_id, b_id, c_id, m, n, k, a_row, a_column, b_row, b_column, c_row, batch, workspace, parts, launch):  # type: ignore[no-untyped-def]
    in_parallel(launch, parts, _multiply_share,
                (data_address(a_id), data_address(b_id), data_address(c_id), m, n, k, a_row, a_column, b_row, b_column,
                 c_row, batch, workspace))


@kernel()
def _multiply_share(thread, threads, a, b, c, m, n, k, a_row, a_column, b_row, b_column, c_row, batch, like):  # type: ignore[no-untyped-def]
    """One thread's share: whole products where there are enough of them, else its piece of each."""
    item = like.itemsize
    room = array_address(like) + thread * _THREAD_ROOM * item
    items = 1
    for dim in range(0, len(batch), 4):
        items *= batch[dim]
    first, last = 0, items
    top, bottom, left, right = 0, m, 0, n
    if items % threads == 0 or items >= 4 * threads:
        first, last = items * thread // threads, items * (thread + 1) // threads
    else:
        high = _rows_of_pieces(threads, m, n, like)
        wide = threads // high
        top, bottom = _share(m, TILE_ROWS, thread // wide, high)
        left, right = _share(n, TILE_VECTORS * _lanes(like), thread % wide, wide)
    for index in range(first, last):
        a_at, b_at, c_at = a, b, c
        rest = index
        for dim in range(len(batch) - 4, -1, -4):
            size = batch[dim]
            a_at += rest % size * batch[dim + 1]
            b_at += rest % size * batch[dim + 2]
            c_at += rest % size * batch[dim + 3]
            rest //= size
        _multiply_block(a_at + top * a_row, b_at + left * b_column, c_at + top * c_row + left * item, bottom - top,
                        right - left, k, a_row, a_column, b_row, b_column, c_row, room, like)


@kernel()
def _lanes(like):  # type: ignore[no-untyped-def]
    return vector.MACHINE.register_bytes // like.itemsize


@kernel()
def _share(size, step, index, count):  # type: ignore[no-untyped-def]
    """The range of part ``index`` of ``count``, in multiples of ``step``."""
    steps = (size + step - 1) // step
    return min(size, steps * index // count * step), min(size, steps * (index + 1) // count * step)


@kernel()
def _rows_of_pieces(threads, m, n, like):  # type: ignore[no-untyped-def]
    """How many pieces to cut C's rows into, so that ``threads`` pieces are even first, then square to pack least."""
    row_tiles = (m + TILE_ROWS - 1) // TILE_ROWS
    width = TILE_VECTORS * _lanes(like)
    column_tiles = (n + width - 1) // width
    best, best_cost = 1, np.inf
    for high in range(1, threads + 1):
        if threads % high == 0:
            rows = (row_tiles + high - 1) // high
            columns = (column_tiles + threads // high - 1) // (threads // high)
            cost = rows * columns + 1e-6 * (rows * TILE_ROWS + columns * width)
            if cost < best_cost:
                best, best_cost = high, cost
    return best


@kernel()
def _multiply_block(a, b, c, m, n, k, a_row, a_column, b_row, b_column, c_row, room, like):  # type: ignore[no-untyped-def]
    """C (m, n) = A (m, k) @ B (k, n) on this thread."""
    if m == 0 or n == 0:
        return
    item = like.itemsize
    if m <= DOT_ROWS and k >= DOT_INNER and a_column == item and b_row == item and b_column != item:
        _multiply_by_dots(a, b, c, m, n, k, a_row, b_column, c_row, like)
        return
    in_place_b = b_column == item and (m <= DIRECT_ROWS or abs(b_row) * min(k, KC) <= DIRECT_BYTES)
    in_place_a = (a_column == item or a_row == item) and n <= DIRECT_COLUMNS
    strip = TILE_VECTORS * _lanes(like)
    if m == 1 and in_place_b:
        strip = ROW_VECTORS * _lanes(like)
    packed_b = room + MC * KC * item
    for left in range(0, n, NC):
        columns = min(NC, n - left)
        for start in range(0, max(k, 1), KC):
            depth = min(KC, k - start)
            b_block = b + start * b_row + left * b_column
            if not in_place_b:
                _pack_b(columns, depth, b_block, b_column, b_row, packed_b, strip, like)
            for top in range(0, m, MC):
                rows = min(MC, m - top)
                a_block = a + top * a_row + start * a_column
                if not in_place_a:
                    _pack_a(rows, depth, a_block, a_row, a_column, room, like)
                for column in range(0, columns, strip):
                    width = min(strip, columns - column)
                    vectors = _vectors(width, like)
                    if in_place_b:
                        b_panel, b_step = b_block + column * item, b_row
                    else:
                        b_panel, b_step = packed_b + column * depth * item, width * item
                    row = 0
                    while row < rows:
                        height = _panel_rows(rows - row)
                        if not in_place_a:
                            a_panel, a_step, along_k = room + row * depth * item, height * item, 0
                        elif a_column == item:
                            a_panel, a_step, along_k = a_block + row * a_row, a_row, 1
                        else:
                            a_panel, a_step, along_k = a_block + row * item, a_column, 0
                        c_tile = c + (top + row) * c_row + (left + column) * item
                        multiply_tile(height, vectors, along_k, width, depth, a_panel, a_step, b_panel, b_step, c_tile,
                                      c_row, int(start > 0), like)
                        row += height


@kernel()
def _vectors(width, like):  # type: ignore[no-untyped-def]
    """The narrowest register tile that covers ``width`` columns."""
    needed = (width + _lanes(like) - 1) // _lanes(like)
    return needed if needed <= TILE_VECTORS else ROW_VECTORS


@kernel()
def _panel_rows(left):  # type: ignore[no-untyped-def]
    """The tallest register tile that fits in the rows left."""
    for rows in ROW_STEPS:
        if rows <= left:
            return rows
    return 1


@kernel()
def _pack_a(rows, depth, source, row_stride, column_stride, target, like):  # type: ignore[no-untyped-def]
    row = 0
    while row < rows:
        height = _panel_rows(rows - row)
        _pack_panel(height, depth, source + row * row_stride, row_stride, column_stride,
                    target + row * depth * like.itemsize, like)
        row += height


@kernel()
def _pack_b(columns, depth, source, column_stride, row_stride, target, strip, like):  # type: ignore[no-untyped-def]
    for column in range(0, columns, strip):
        _pack_panel(min(strip, columns - column), depth, source + column * column_stride, column_stride, row_stride,
                    target + column * depth * like.itemsize, like)


@kernel()
def _pack_panel(width, depth, source, width_stride, depth_stride, target, like):  # type: ignore[no-untyped-def]
    """target[depth][width], contiguous, from a source of any strides."""
    item, lanes = like.itemsize, _lanes(like)
    if width_stride == item:
        for part in range(0, width, lanes):
            count = min(lanes, width - part)
            for step in range(depth):
                move_vector(count, source + step * depth_stride + part * item, target + (step * width + part) * item,
                            like)
        return
    whole = 0
    if depth_stride == item and (width == TILE_ROWS or width % lanes == 0):
        whole = depth // lanes * lanes
        part = 0
        while part < width:
            count = min(lanes, width - part)
            for step in range(0, whole, lanes):
                transpose_block(count, source + step * item + part * width_stride, width_stride,
                                target + (step * width + part) * item, width * item, like)
            part += count
    for step in range(whole, depth):
        for part in range(width):
            store(load(source + step * depth_stride + part * width_stride, like), target + (step * width + part) * item,
                  like)


@kernel()
def _multiply_by_dots(a, b, c, m, n, k, a_row, b_column, c_row, like):  # type: ignore[no-untyped-def]
    tall, wide = DOT_STEPS[0], DOT_STEPS[0]
    column = 0
    while column < n:
        columns = wide if column + wide <= n else 1
        row = 0
        while row < m:
            rows = tall if row + tall <= m else 1
            multiply_dots(rows, columns, k, a + row * a_row, a_row, b + column * b_column, b_column,
                          c + row * c_row + column * like.itemsize, c_row, like)
            row += rows
        column += columns
