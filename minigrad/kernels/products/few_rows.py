"""Products of few rows: every weight is read once, where it stands, and multiplied by all rows of activations.

Decoding multiplies a few rows by matrices that fit no cache: C (M, N) = A (M, K) @ W (N, K)ᵀ takes as long as reading
W. A few rows of W are read side by side, each for an inner product with every row of A. An inner product is the same
chain of vectors whatever the number of rows: a row of A has the same bits in its result alone and beside others.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import from_dtype, types

from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.linking import call_at
from minigrad.kernels.compiling.vector import I32, I64, MACHINE, Emitter, array_at, loop, switch
from minigrad.kernels.elementwise.bfloat16 import widened
from minigrad.kernels.products.operand_format import OperandFormat, Vectors, operand_format

# Numbers of rows of activations at a time: any number of rows is a greedy sum of these.
FEW_ROWS = (8, 4, 2, 1) if MACHINE.registers == 32 else (4, 2, 1)
BESIDE = 4  # rows of W that are read side by side, or half of them
COLUMNS = 64  # so many rows of W stay in cache for all rows of A
BLOCK = 64  # vectors of all rows of A that stay in the first-level cache for all these rows of W
CACHE_LINE = 64
PREFETCHED_BYTES = 1 << 12  # weights are asked for at least so far ahead, in the rows that are read then


class _RowFormat(NamedTuple):
    """Reading of one vector of the sum: so many elements of a row of activations and of a row of weights."""

    steps: int
    activations: Callable[[Emitter, ir.Value], Vectors]
    weights: Callable[[Emitter, ir.Value], Vectors]


def load_floats(like: Any, emit: Emitter, at: ir.Value) -> ir.Value:
    """A vector of floats from memory that holds them, bfloat16 or int8: elements of a Numba array type."""
    builder = emit.builder
    if like.dtype == types.uint16:
        bits = builder.zext(emit.load_as(ir.VectorType(ir.IntType(16), emit.lanes), at), ir.VectorType(I32, emit.lanes))
        return builder.bitcast(builder.shl(bits, ir.Constant(bits.type, [16] * emit.lanes)), emit.vector)
    if like.dtype == types.int8:
        return builder.sitofp(emit.load_as(ir.VectorType(ir.IntType(8), emit.lanes), at), emit.vector)
    return emit.load(at)


def _row_format(a: Any, w: Any, form: OperandFormat, emit: Emitter) -> _RowFormat:
    """The format of Numba array types' elements."""

    if a.dtype == types.uint8:
        return _RowFormat(4 * emit.lanes, lambda emit, at: form.widen_a(emit, emit.load(at)), partial(_widened, form))
    return _RowFormat(emit.lanes, *(lambda emit, at, like=like: [load_floats(like, emit, at)] for like in (a, w)))


def _widened(form: OperandFormat, emit: Emitter, at: ir.Value) -> Vectors:
    return form.widen(emit, emit.load(at))


@intrinsic
def _multiply_rows(typingctx, rows, count, steps, more, a, a_row, w, w_row, c, c_row, a_like, w_like):
    """C[:rows, :count] = A[:rows, :k] @ W[:count, :k]ᵀ, or C += if ``more``; ``steps`` vectors make up k.

    ``rows`` is one of FEW_ROWS. Of C the elements of a row are neighbours: float32 or float64, or int32 where operands
    are bytes.
    """
    form = operand_format(types.Tuple((a_like, w_like)))

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, *operands = arguments[:-2]
        switch(
            builder,
            rows,
            {
                count: partial(builder.call, _rows_function(builder.module, a_like, w_like, form, count), operands)
                for count in FEW_ROWS
            },
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10, a_like, w_like), generate


def _rows_function(module: ir.Module, a_like: Any, w_like: Any, form: OperandFormat, rows: int) -> ir.Function:
    """The IR for so many rows; arguments as for ``_multiply_rows`` from ``count`` on."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 9)
    function = ir.Function(module, kind, module.get_unique_name(f"rows{rows}"))
    function.linkage = "internal"
    count, steps, more, a, a_row, w, w_row, c, c_row = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit = Emitter(builder, form.total)
    form_of_rows = _row_format(a_like, w_like, form, emit)
    a_bytes = form_of_rows.steps * a_like.dtype.bitwidth // 8
    w_bytes = form_of_rows.steps * w_like.dtype.bitwidth // 8
    line = max(1, CACHE_LINE // w_bytes)  # vectors of a line of W
    a_rows = [emit.at(a, emit.times(a_row, row)) for row in range(rows)]
    again = builder.icmp_signed("!=", more, emit.integer(0))
    most = BESIDE // 2 if rows > 4 or MACHINE.registers < 32 else BESIDE
    together = builder.or_(emit.times(w_row, most), emit.integer(1))  # not 0
    further = builder.udiv(emit.integer(PREFETCHED_BYTES - 1), together)
    ahead = builder.mul(emit.at(further, 1), emit.times(w_row, most))

    def some(values: list[ir.Value], beside: int) -> list[ir.Value]:
        """Inner products with so many rows of W at once."""
        w_at, c_at = values
        w_rows = [emit.at(w_at, emit.times(w_row, column)) for column in range(beside)]

        def step(values: list[ir.Value], vectors: int) -> list[ir.Value]:
            a_place, w_place, *sums = values
            for start in w_rows if vectors == line else ():
                emit.prefetch(emit.at(emit.at(start, w_place), ahead))
            for _ in range(vectors):
                columns = [form_of_rows.weights(emit, emit.at(start, w_place)) for start in w_rows]
                for row, start in enumerate(a_rows):
                    own = form_of_rows.activations(emit, emit.at(start, a_place))
                    for column, weights in enumerate(columns):
                        for pair in zip(own, weights, strict=True):
                            index = row * beside + column
                            sums[index] = form.multiply_add(emit, *pair, sums[index])
                a_place, w_place = emit.at(a_place, a_bytes), emit.at(w_place, w_bytes)
            return [a_place, w_place, *sums]

        start = [emit.integer(0), emit.integer(0), *[emit.zero] * (rows * beside)]
        ends = loop(builder, builder.udiv(steps, emit.integer(line)), start, partial(step, vectors=line))
        if line > 1:
            ends = loop(builder, builder.urem(steps, emit.integer(line)), ends, partial(step, vectors=1))
        _, _, *sums = ends
        totals, columns = emit.sums(sums), ir.VectorType(form.total, beside)
        for row in range(rows):
            place = emit.at(c_at, emit.times(c_row, row))
            before = builder.select(again, emit.load_as(columns, place), ir.Constant(columns, None))
            own = emit.shuffle(totals, totals, range(row * beside, (row + 1) * beside))
            emit.store(emit.add(own, before), place)
        return [emit.at(w_at, emit.times(w_row, beside)), emit.at(c_at, beside * emit.size)]

    groups, rest = builder.udiv(count, emit.integer(most)), builder.urem(count, emit.integer(most))
    ends = loop(builder, groups, [w, c], partial(some, beside=most))
    loop(builder, rest, ends, partial(some, beside=1))
    builder.ret_void()
    return function


@intrinsic
def _vector_steps(typingctx, a_like, w_like):
    """Elements of the sum that one vector takes."""
    form = operand_format(types.Tuple((a_like, w_like)))

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        return ir.Constant(I64, _row_format(a_like, w_like, form, Emitter(builder, form.total)).steps)

    return types.int64(a_like, w_like), generate


@cache
def rows_entry(a: Any, w: Any, c: Any) -> int:
    """Address of the machine code of ``multiply_few_rows`` for elements of these dtypes, for ``call_rows``."""
    likes = tuple(types.Array(from_dtype(np.dtype(dtype)), 1, "C") for dtype in (a, w, c))
    arrays = types.UniTuple(likes[0], 3) if len({*likes}) == 1 else types.Tuple(likes)
    address: int = multiply_few_rows.address((*[types.int64] * 9, arrays))
    return address


@kernel()
def call_rows(entry, rows, count, k, a, a_row, w, w_row, c, c_row, likes):
    """``multiply_few_rows`` by its address: it takes long to compile, and serves several kernels."""
    call_at(entry, multiply_few_rows, (rows, count, k, a, a_row, w, w_row, c, c_row, likes))


@kernel()
def greedy(sizes, limit):
    """The first of some falling sizes that is not above a limit."""
    for size in sizes:
        if size <= limit:
            return size
    return 1


@kernel()
def multiply_few_rows(rows, count, k, a, a_row, w, w_row, c, c_row, likes):
    """C[:rows, :count] = A[:rows, :k] @ W[:count, :k]ᵀ, everything at addresses, with strides of rows in bytes.

    ``likes`` say the types of elements: of A and W as in ``operand_format.py``, of C float32, float64 or, for bytes,
    int32.
    """
    a_like, w_like, c_like = likes
    steps = _vector_steps(a_like, w_like)
    whole = k // steps
    for left in range(0, count, COLUMNS):
        width, at, to = min(COLUMNS, count - left), w + left * w_row, c + left * c_like.itemsize
        for start in range(0, max(whole, 1), BLOCK):
            depth, first = min(BLOCK, whole - start), start * steps
            row = 0
            while row < rows:
                height = greedy(FEW_ROWS, rows - row)
                source, block = a + row * a_row + first * a_like.itemsize, at + first * w_like.itemsize
                _multiply_rows(
                    height, width, depth, start, source, a_row, block, w_row, to + row * c_row, c_row, a_like, w_like
                )
                row += height
    if whole * steps < k:
        _add_rest(rows, count, whole * steps, k, a, a_row, w, w_row, c, c_row, a_like, w_like, c_like)


@kernel()
def _add_rest(rows, count, start, k, a, a_row, w, w_row, c, c_row, a_like, w_like, c_like):
    """Add the end of the inner products, which fills no vector."""
    number = c_like.dtype.type
    for column in range(count):
        weights = array_at(w + column * w_row, k, w_like)
        for row in range(rows):
            values, target = array_at(a + row * a_row, k, a_like), array_at(c + row * c_row, count, c_like)
            total = target[column]
            for i in range(start, k):
                total += number(values[i]) * number(widened(weights[i]))
            target[column] = total
