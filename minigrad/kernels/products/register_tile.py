"""Register tiles: the micro-kernels of the matrix product, generated as vector instructions.

``multiply_tile`` is the main one: ``rows x (vectors * lanes)`` accumulators that stay in registers over the whole inner
loop, where an element of A, broadcast, is multiplied by a row of B (Goto & van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", ACM TOMS 34, 2008, sec. 6). ``operand_format.py`` says what elements and rows are of narrower
operands, where a step takes a group of them.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.compiler import intrinsic
from minigrad.kernels.compiling.vector import I64, MACHINE, Emitter, loop, switch
from minigrad.kernels.products.operand_format import OperandFormat, operand_format

# The vectors of a row of B and a broadcast must fit beside the accumulators: 12 x 2 of 32 registers, 6 x 2 of 16.
TILE_ROWS = 12 if MACHINE.registers == 32 else 6
TILE_VECTORS = 2
# Any number of rows is a greedy sum of these.
ROW_STEPS = (12, 8, 4, 2, 1) if TILE_ROWS == 12 else (6, 4, 2, 1)
# Masks cost nothing where registers hold them, and instructions elsewhere.
MASKED = (True,) if MACHINE.register_bytes == 64 else (False, True)
# Numbers of rows of B that are multiplied by a single row of A at once, each read from end to end.
ROW_DEPTHS = (8, 1, 0)
# Inner products, a square of them: 4 x 4 and the 8 operands fit into 32 registers; and as many sums under way as the
# multipliers take at once.
DOT_SIDE = 4 if MACHINE.registers == 32 else 2
DOT_TILES = ((DOT_SIDE, DOT_SIDE), (DOT_SIDE, 1), (1, DOT_SIDE), (1, 1))
DOT_SUMS = 8
# A single row reads memory faster than the machine looks ahead, which stops at the ends of pages.
PREFETCHED_BYTES = 1 << 11


class TileShape(NamedTuple):
    """A register tile to generate. ``along_k``: neighbours in A are of one row, else of one column."""

    rows: int
    vectors: int
    along_k: bool
    masked: bool

    def key(self) -> int:
        """The number that ``multiply_tile`` computes to find this shape."""
        return ((self.rows * 16 + self.vectors) * 2 + self.along_k) * 2 + self.masked


def tile_shapes(form: OperandFormat) -> Iterator[TileShape]:
    for rows in ROW_STEPS:
        for vectors in range(1, TILE_VECTORS + 1):
            for along_k in form.along_k:
                for masked in MASKED:
                    yield TileShape(rows, vectors, along_k, masked)


@intrinsic
def multiply_tile(typingctx, rows, columns, inner, a, a_row, a_step, b, b_step, c, c_step, plus, plus_step, like):
    """C[:rows, :columns] = A[:rows, :inner] @ B[:inner, :columns] + plus[:rows, :columns].

    ``rows`` is one of ROW_STEPS and ``columns`` from 1 to TILE_VECTORS registers. ``a_row`` and ``a_step`` are the
    strides of A's rows and columns, of which one is an element's size; the elements of the rows of B, C and ``plus``
    are neighbours. What is added may be C itself, or one row over and over (a step of 0); at address 0 it is nothing.
    ``inner`` counts the groups of the operands' format, and an element is one of them.
    """
    form = operand_format(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, *operands, _ = arguments
        columns, _, _, a_row, *_ = operands
        emit = Emitter(builder, form.total)
        narrow = builder.icmp_signed("<=", columns, emit.integer(emit.lanes))
        vectors = builder.select(narrow, emit.integer(1), emit.integer(TILE_VECTORS))
        along_k, masked = (emit.integer(int(any(choices))) for choices in (form.along_k, MASKED))
        if len(form.along_k) > 1:
            along_k = builder.zext(builder.icmp_signed("!=", a_row, emit.integer(form.a_size)), I64)
        if len(MASKED) > 1:
            masked = builder.zext(builder.icmp_signed("!=", columns, emit.times(vectors, emit.lanes)), I64)
        key = rows
        for part, size in ((vectors, 16), (along_k, 2), (masked, 2)):
            key = builder.add(emit.times(key, size), part)
        switch(
            builder,
            key,
            {
                shape.key(): partial(builder.call, _tile_function(builder.module, form, shape), operands)
                for shape in tile_shapes(form)
            },
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12, like), generate


def _tile_function(module: ir.Module, form: OperandFormat, shape: TileShape) -> ir.Function:
    """The IR of one register tile; arguments as for ``multiply_tile`` from ``columns`` on."""
    function = ir.Function(
        module, ir.FunctionType(ir.VoidType(), [I64] * 11), module.get_unique_name(f"tile{shape.key()}")
    )
    function.linkage = "internal"
    columns, inner, a, a_row, a_step, b, b_step, c, c_step, plus, plus_step = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit, lanes = Emitter(builder, form.total), Emitter(builder, form.lane)
    register = emit.lanes * emit.size
    masks: list[ir.Value | None] = [None] * shape.vectors
    if shape.masked:
        masks[-1] = emit.mask(builder.sub(columns, emit.integer((shape.vectors - 1) * emit.lanes)))

    def load_row(emit: Emitter, address: ir.Value) -> list[ir.Value]:
        parts = [emit.at(address, v * register) for v in range(shape.vectors)]
        return [
            emit.load(part) if mask is None else emit.load_masked(part, mask)
            for part, mask in zip(parts, masks, strict=True)
        ]

    def store_row(values: Sequence[ir.Value], address: ir.Value) -> None:
        for v, (value, mask) in enumerate(zip(values, masks, strict=True)):
            part = emit.at(address, v * register)
            if mask is None:
                emit.store(value, part)
            else:
                emit.store_masked(value, part, mask)

    c_rows = [emit.at(c, emit.times(c_step, row)) for row in range(shape.rows)]
    for c_row in c_rows:
        emit.prefetch(c_row, writing=True)
    # A's element of row r and step k lies at (a + k * element) + r * a_row along k, else at (a + k * a_step) + r.
    a_rows = [emit.times(a_row, row) if shape.along_k else row * form.a_size for row in range(shape.rows)]
    a_next = form.a_size if shape.along_k else a_step
    size = shape.rows * shape.vectors
    # Few sums would wait for each other: several steps at once, each with sums of its own.
    together = max(1, DOT_SUMS // size) if form.group > 1 else 1

    def step(values: list[ir.Value], steps: int) -> list[ir.Value]:
        a_at, b_at, *sums = values
        for first in range(0, steps * size, size):
            b_row = [form.widen(emit, part) for part in load_row(lanes, b_at)]
            for row, offset in enumerate(a_rows):
                factors = form.broadcast(emit, emit.at(a_at, offset))
                for index, parts in enumerate(b_row, first + row * shape.vectors):
                    for factor, part in zip(factors, parts, strict=True):
                        sums[index] = form.multiply_add(emit, factor, part, sums[index])
            a_at, b_at = emit.at(a_at, a_next), emit.at(b_at, b_step)
        return [a_at, b_at, *sums]

    start, rest = [a, b, *[emit.zero] * (together * size)], inner
    if together > 1:
        runs, rest = (divide(inner, emit.integer(together)) for divide in (builder.udiv, builder.urem))
        start = loop(builder, runs, start, partial(step, steps=together))
        for first in range(2 + size, len(start), size):
            start[2 : 2 + size] = map(emit.add, start[2 : 2 + size], start[first : first + size])
    _, _, *sums = loop(builder, rest, start[: 2 + size], partial(step, steps=1))
    by_row = [sums[first : first + shape.vectors] for first in range(0, len(sums), shape.vectors)]
    with builder.if_else(builder.icmp_signed("!=", plus, emit.integer(0))) as (add, alone):
        with add:
            summands = [load_row(emit, emit.at(plus, emit.times(plus_step, row))) for row in range(shape.rows)]
            for summand, new, c_row in zip(summands, by_row, c_rows, strict=True):
                store_row([*map(emit.add, summand, new)], c_row)
        with alone:
            for new, c_row in zip(by_row, c_rows, strict=True):
                store_row(new, c_row)
    builder.ret_void()
    return function


@intrinsic
def multiply_row(typingctx, depth, columns, a, a_step, b, b_step, c, plus, like):
    """C[:columns] = A[:depth] @ B[:depth, :columns] + plus[:columns] for a single row, ``depth`` being of ROW_DEPTHS.

    ``a_step`` is the stride of A's elements, ``b_step`` of B's rows; neighbours in those rows, in C and in ``plus`` lie
    side by side. What is added may be C itself; at address 0 it is nothing. Operands are floats, rounded to the format.
    """
    form = operand_format(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        depth, columns, a, a_step, b, b_step, c, plus, _ = arguments
        emit = Emitter(builder, form.total)
        alone = builder.icmp_signed("==", plus, emit.integer(0))
        summands = builder.select(alone, c, plus)  # an address that can be read

        def multiply(count: int) -> None:
            elements = [emit.load_element(emit.at(a, emit.times(a_step, row))) for row in range(count)]
            factors = [emit.broadcast(form.rounded(builder, element)) for element in elements]
            b_rows = [emit.at(b, emit.times(b_step, row)) for row in range(count)]

            def sums(at: ir.Value, load: Callable[[ir.Value], ir.Value]) -> ir.Value:
                total = builder.select(alone, emit.zero, load(emit.at(summands, at)))
                for factor, b_row in zip(factors, b_rows, strict=True):
                    total = emit.multiply_add(factor, form.rounded(builder, load(emit.at(b_row, at))), total)
                return total

            def step(values: list[ir.Value]) -> list[ir.Value]:
                (at,) = values
                emit.store(sums(at, emit.load), emit.at(c, at))
                return [emit.at(at, emit.lanes * emit.size)]

            whole, rest = (divide(columns, emit.integer(emit.lanes)) for divide in (builder.udiv, builder.urem))
            (at,) = loop(builder, whole, [emit.integer(0)], step)
            mask = emit.mask(rest)
            emit.store_masked(sums(at, partial(emit.load_masked, mask=mask)), emit.at(c, at), mask)

        switch(builder, depth, {count: partial(multiply, count) for count in ROW_DEPTHS})
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8, like), generate


@intrinsic
def multiply_dots(typingctx, rows, columns, inner, a, a_step, b, b_step, c, c_step, plus, plus_step, like):
    """C[:rows, :columns] = A[:rows, :inner] @ B[:inner, :columns] + plus as inner products of A's rows and B's columns.

    ``rows`` and ``columns`` are one of DOT_TILES. ``a_step`` and ``b_step`` are the strides of A's rows and B's
    columns, in which neighbours lie side by side: B is a transposed matrix, read once and as it lies. ``plus`` is as
    for ``multiply_tile``. Operands are floats, rounded to the format.
    """
    form = operand_format(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, columns, *operands, _ = arguments
        key = builder.add(builder.mul(rows, ir.Constant(I64, 16)), columns)
        switch(
            builder,
            key,
            {
                16 * tall + wide: partial(builder.call, _dots_function(builder.module, form, tall, wide), operands)
                for tall, wide in DOT_TILES
            },
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 11, like), generate


def _dots_function(module: ir.Module, form: OperandFormat, rows: int, columns: int) -> ir.Function:
    """The IR of one tile of inner products; arguments as for ``multiply_dots`` from ``inner`` on."""
    function = ir.Function(
        module, ir.FunctionType(ir.VoidType(), [I64] * 9), module.get_unique_name(f"dots{rows}x{columns}")
    )
    function.linkage = "internal"
    inner, a, a_step, b, b_step, c, c_step, plus, plus_step = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit = Emitter(builder, form.total)
    register = emit.lanes * emit.size
    alone = builder.icmp_signed("==", plus, emit.integer(0))
    summands, summands_step = builder.select(alone, c, plus), builder.select(alone, c_step, plus_step)
    # A single row takes column after column, reading memory from end to end: a decoder's weights fit no cache.
    wide = 1 if rows == 1 else columns
    together = max(1, DOT_SUMS // (rows * wide))  # vectors of each inner product, for enough sums to be under way

    for first in range(0, columns, wide):
        a_rows = [emit.at(a, emit.times(a_step, row)) for row in range(rows)]
        b_columns = [emit.at(b, emit.times(b_step, column)) for column in range(first, first + wide)]
        pairs = [(a_row, b_column) for a_row in a_rows for b_column in b_columns]

        def multiply(
            at: ir.Value,
            sums: Sequence[ir.Value],
            load: Callable[[ir.Value], ir.Value],
            pairs: Sequence[tuple[ir.Value, ir.Value]] = pairs,
        ) -> list[ir.Value]:
            addresses = dict.fromkeys(chain(*pairs))
            parts = {address: form.rounded(builder, load(emit.at(address, at))) for address in addresses}
            return [
                emit.multiply_add(parts[a_row], parts[b_column], total)
                for (a_row, b_column), total in zip(pairs, sums, strict=True)
            ]

        def step(
            values: list[ir.Value],
            vectors: int,
            multiply: Callable[..., list[ir.Value]] = multiply,
            b_column: ir.Value = b_columns[0],
        ) -> list[ir.Value]:
            at, *sums = values
            for vector in range(vectors):
                own = slice(vector * rows * wide, (vector + 1) * rows * wide)
                if rows == 1:
                    emit.prefetch(emit.at(emit.at(b_column, at), vector * register + PREFETCHED_BYTES))
                sums[own] = multiply(emit.at(at, vector * register), sums[own], emit.load)
            return [emit.at(at, vectors * register), *sums]

        runs, rest = (divide(inner, emit.integer(together * emit.lanes)) for divide in (builder.udiv, builder.urem))
        start = [emit.integer(0), *[emit.zero] * (together * len(pairs))]
        at, *several = loop(builder, runs, start, partial(step, vectors=together))
        sums = several[: len(pairs)]
        for vector in range(1, together):
            sums = [builder.fadd(*both) for both in zip(sums, several[vector * len(pairs) :], strict=False)]
        whole, rest = (divide(rest, emit.integer(emit.lanes)) for divide in (builder.udiv, builder.urem))
        at, *sums = loop(builder, whole, [at, *sums], partial(step, vectors=1))
        sums = multiply(at, sums, partial(emit.load_masked, mask=emit.mask(rest)))
        for index, total in enumerate(sums):
            row, column = divmod(index, wide)
            beside = (first + column) * emit.size
            summand = emit.load_element(emit.at(emit.at(summands, emit.times(summands_step, row)), beside))
            summand = builder.select(alone, ir.Constant(form.total, 0.0), summand)
            emit.store(builder.fadd(emit.sum(total), summand), emit.at(emit.at(c, emit.times(c_step, row)), beside))
    builder.ret_void()
    return function
