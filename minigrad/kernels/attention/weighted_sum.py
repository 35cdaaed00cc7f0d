"""Weighted sums of rows of values, for a few rows of weights at once, with the sums in registers."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.vector import I64, MACHINE, Emitter, array_at, element_of, loop, switch
from minigrad.kernels.elementwise.bfloat16 import widened
from minigrad.kernels.products.few_rows import greedy, load_floats

# Rows of weights and vectors of a row of values at a time: any number of either is a greedy sum of these.
ROWS = (4, 2, 1) if MACHINE.registers == 32 else (2, 1)
VECTORS = (4, 1)
REGISTER_BYTES = MACHINE.register_bytes


@intrinsic
def _add_weighted(typingctx, rows, vectors, count, weights, weights_row, v, v_row, c, c_row, like, total):
    """C[:rows, :vectors · lanes] += weights[:rows, :count] @ V[:count], at addresses, with strides of rows in bytes."""
    element = element_of(total)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, vectors, *operands = arguments[:-2]
        key = builder.add(builder.mul(rows, ir.Constant(I64, 8)), vectors)
        cases = {
            8 * tall + wide: partial(builder.call, _sum_function(builder.module, element, like, tall, wide), operands)
            for tall in ROWS
            for wide in VECTORS
        }
        switch(builder, key, cases)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9, like, total), generate


def _sum_function(module: ir.Module, element: ir.Type, like: Any, rows: int, vectors: int) -> ir.Function:
    """The IR for so many rows and vectors; arguments as for ``_add_weighted`` from ``count`` on."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 7)
    function = ir.Function(module, kind, module.get_unique_name(f"weighted{rows}x{vectors}"))
    function.linkage = "internal"
    count, weights, weights_row, v, v_row, c, c_row = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit = Emitter(builder, element)
    register = emit.lanes * emit.size
    width = emit.lanes * like.dtype.bitwidth // 8  # bytes of a vector of V
    places = [
        emit.at(emit.at(c, emit.times(c_row, row)), vector * register)
        for row in range(rows)
        for vector in range(vectors)
    ]

    def step(values: list[ir.Value]) -> list[ir.Value]:
        weight_at, v_at, *sums = values
        loaded = [load_floats(like, emit, emit.at(v_at, vector * width)) for vector in range(vectors)]
        for row in range(rows):
            weight = emit.broadcast(emit.load_element(emit.at(weight_at, emit.times(weights_row, row))))
            for vector, value in enumerate(loaded):
                index = row * vectors + vector
                sums[index] = emit.multiply_add(weight, value, sums[index])
        return [emit.at(weight_at, emit.size), emit.at(v_at, v_row), *sums]

    _, _, *sums = loop(builder, count, [weights, v, *map(emit.load, places)], step)
    for place, total in zip(places, sums, strict=True):
        emit.store(total, place)
    builder.ret_void()
    return function


@kernel()
def add_weighted_rows(rows, count, width, weights, weights_row, v, v_row, c, c_row, like, total):
    """C[:rows, :width] += weights[:rows, :count] @ V[:count, :width], at addresses, with strides of rows in bytes.

    V's elements are ``like``'s, all else ``total``'s. Sums are taken in the order of V's rows.
    """
    lanes = REGISTER_BYTES // total.itemsize
    row = 0
    while row < rows:
        height = greedy(ROWS, rows - row)
        at, to = weights + row * weights_row, c + row * c_row
        column = 0
        while column + lanes <= width:
            vectors = greedy(VECTORS, (width - column) // lanes)
            from_, into = v + column * like.itemsize, to + column * total.itemsize
            _add_weighted(height, vectors, count, at, weights_row, from_, v_row, into, c_row, like, total)
            column += vectors * lanes
        if column < width:
            for k in range(count):
                value = array_at(v + k * v_row, width, like)
                for i in range(height):
                    weight = array_at(at + i * weights_row, count, total)[k]
                    target = array_at(to + i * c_row, width, total)
                    for j in range(column, width):
                        target[j] += weight * widened(value[j])
        row += height
