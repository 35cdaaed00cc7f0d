"""Packing: the elements of a block, of any strides, in the order in which the register tile reads them.

A panel of A is as high as a tile and a panel of B as wide; along the sum, ``depth``, both are read from end to end. A
group of steps that the operands' format takes at once (``operand_format.py``) is packed into one lane, filled up with
zeros at the end.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.vector import I32, MACHINE, Emitter, switch
from minigrad.kernels.products.operand_format import operand_format
from minigrad.kernels.products.register_tile import ROW_STEPS, TILE_ROWS, TILE_VECTORS

LANE_BYTES = 4  # at least


@kernel()
def lane_bytes(buffer):
    """Bytes of a lane, which are those of an element of the arrays, of operands packed as ``buffer``'s elements."""
    return max(LANE_BYTES, buffer.itemsize)


@kernel()
def lane_steps(depth, buffer):
    """The number of lanes that so many steps of a sum take."""
    group = lane_bytes(buffer) // buffer.itemsize
    return (depth + group - 1) // group


@kernel()
def panel_width(buffer):
    """The width of a panel of B."""
    return TILE_VECTORS * (MACHINE.register_bytes // lane_bytes(buffer))


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
        panel = target + row * lane_steps(depth, buffer) * lane_bytes(buffer)
        _pack_panel(height, depth, source + row * row_stride, row_stride, column_stride, panel, height, buffer)
        row += height


@kernel()
def pack_b(columns, depth, source, column_stride, row_stride, target, buffer):
    """Panels of a register tile's columns, each (depth, strip): the last one may be filled only in part."""
    strip = panel_width(buffer)
    for column in range(0, columns, strip):
        width = min(strip, columns - column)
        panel = target + column * lane_steps(depth, buffer) * lane_bytes(buffer)
        _pack_panel(width, depth, source + column * column_stride, column_stride, row_stride, panel, strip, buffer)


@kernel()
def _pack_panel(width, depth, source, width_stride, depth_stride, target, pitch, buffer):
    """target (depth, width), its rows ``pitch`` lanes apart, from a source of any strides."""
    item, lanes = lane_bytes(buffer), MACHINE.register_bytes // lane_bytes(buffer)
    group, steps, row = item // buffer.itemsize, lane_steps(depth, buffer), pitch * item
    full = depth // group
    for part in range(0, width, lanes):
        count = min(lanes, width - part)
        at, packed = source + part * width_stride, target + part * item
        whole = 0  # how many steps vector code has packed
        if width_stride == item:
            whole = full
            for step in range(full):
                pack_vector(count, at + step * group * depth_stride, depth_stride, packed + step * row, buffer)
        elif depth_stride == item and (count == lanes or count == min(TILE_ROWS, lanes) or count == TILE_ROWS % lanes):
            whole = full // lanes * lanes
            for step in range(0, whole, lanes):
                transpose_block(count, at + step * group * item, width_stride, packed + step * row, row, buffer)
        for step in range(whole, steps):
            for lane in range(count):
                element = at + lane * width_stride + step * group * depth_stride
                pack_group(depth - step * group, element, depth_stride, packed + step * row + lane * item, buffer)


@intrinsic
def pack_vector(typingctx, count, source, source_step, target, like):
    """Pack a group of rows, ``source_step`` apart: ``count`` neighbours of each, at most a register of lanes."""
    form = operand_format(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        count, source, source_step, target, _ = arguments
        emit, lanes = Emitter(builder, form.total), Emitter(builder, form.lane)

        def packed(load: Callable[[ir.Value], ir.Value]) -> ir.Value:
            return form.pack_across(
                emit, [load(emit.at(source, emit.times(source_step, i))) for i in range(form.group)]
            )

        with builder.if_else(builder.icmp_signed("==", count, emit.integer(emit.lanes))) as (whole, part):
            with whole:
                lanes.store(packed(emit.load), target)
            with part:
                mask = emit.mask(count)
                lanes.store_masked(packed(partial(emit.load_masked, mask=mask)), target, mask)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, like), generate


@intrinsic
def pack_group(typingctx, count, source, source_step, target, like):
    """Pack a single lane from ``count`` elements, ``source_step`` apart; where these are fewer than a group, zeros."""
    form = operand_format(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        count, source, source_step, target, _ = arguments
        emit, zero = Emitter(builder, form.total), ir.Constant(form.total, 0.0)
        elements = [emit.load_element(source)]
        for i in range(1, form.group):
            there = builder.icmp_signed("<", emit.integer(i), count)
            at = builder.select(there, emit.at(source, emit.times(source_step, i)), source)  # can be read
            elements.append(builder.select(there, emit.load_element(at), zero))
        lane = form.pack_across(emit, [emit.broadcast(element) for element in elements])
        emit.store(builder.extract_element(lane, ir.Constant(I32, 0)), target)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, like), generate


@intrinsic
def transpose_block(typingctx, rows, source, source_step, target, target_step, like):
    """target[:lanes, :rows] = source[:rows, :lanes].T, the steps being strides of rows whose elements are neighbours.

    ``rows`` is one of ``transpose_rows``. A lane of the target is packed from a group of neighbours in the source.
    """
    form = operand_format(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, source, source_step, target, target_step, _ = arguments
        emit, lanes = Emitter(builder, form.total), Emitter(builder, form.lane)

        def packed(row: int) -> ir.Value:
            start = emit.at(source, emit.times(source_step, row))
            vectors = [emit.load(emit.at(start, i * emit.lanes * emit.size)) for i in range(form.group)]
            return form.pack_along(emit, vectors)

        def transpose(count: int) -> None:
            for lane, column in enumerate(lanes.transpose([packed(row) for row in range(count)])):
                emit.store(column, emit.at(target, emit.times(target_step, lane)))

        switch(builder, rows, {count: partial(transpose, count) for count in transpose_rows(emit.lanes)})
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, like), generate


def transpose_rows(lanes: int) -> list[int]:
    """Row counts that ``transpose_block`` knows: a full register, and what a register tile's rows are made of."""
    return sorted({lanes, min(TILE_ROWS, lanes), TILE_ROWS % lanes} - {0})
