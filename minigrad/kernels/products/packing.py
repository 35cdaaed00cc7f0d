"""Packing: the elements of a block, of any strides, in the order in which the register tile reads them.

A panel of A is as high as a tile and a panel of B as wide; along the sum, ``depth``, both are read from end to end.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.vector import MACHINE, move_element, move_vector
from minigrad.kernels.products.register_tile import ROW_STEPS, TILE_ROWS, TILE_VECTORS, transpose_block


@kernel()
def panel_width(buffer):
    """The width of a panel of B."""
    return TILE_VECTORS * (MACHINE.register_bytes // buffer.itemsize)


@kernel()
def tile_height(rows):
    """The tallest register tile for so many rows."""
    for step in ROW_STEPS:
        if step <= rows:
            return step
    return 1


@kernel()
def pack_a(rows, depth, source, row_stride, column_stride, target, buffer):
    """Panels of a register tile's rows, each (depth, height)."""
    row = 0
    while row < rows:
        height = tile_height(rows - row)
        _pack_panel(
            height,
            depth,
            source + row * row_stride,
            row_stride,
            column_stride,
            target + row * depth * buffer.itemsize,
            buffer,
        )
        row += height


@kernel()
def pack_b(columns, depth, source, column_stride, row_stride, target, buffer):
    """Panels of a register tile's columns, each (depth, width)."""
    strip = panel_width(buffer)
    for column in range(0, columns, strip):
        _pack_panel(
            min(strip, columns - column),
            depth,
            source + column * column_stride,
            column_stride,
            row_stride,
            target + column * depth * buffer.itemsize,
            buffer,
        )


@kernel()
def _pack_panel(width, depth, source, width_stride, depth_stride, target, buffer):
    """target (depth, width), contiguous, from a source of any strides."""
    item, lanes = buffer.itemsize, MACHINE.register_bytes // buffer.itemsize
    whole = 0  # how much of the depth vector code has moved
    if width_stride == item:
        whole = depth
        for part in range(0, width, lanes):
            count = min(lanes, width - part)
            for step in range(depth):
                move_vector(
                    count, source + step * depth_stride + part * item, target + (step * width + part) * item, buffer
                )
    elif depth_stride == item and (width == TILE_ROWS or width % lanes == 0):
        whole = depth // lanes * lanes
        for part in range(0, width, lanes):
            count = min(lanes, width - part)
            for step in range(0, whole, lanes):
                transpose_block(
                    count,
                    source + part * width_stride + step * item,
                    width_stride,
                    target + (step * width + part) * item,
                    width * item,
                    buffer,
                )
    for step in range(whole, depth):
        for part in range(width):
            move_element(
                source + part * width_stride + step * depth_stride, target + (step * width + part) * item, buffer
            )
