"""Vector code for this CPU, written as LLVM IR through Numba's ``@intrinsic``.

Operands are raw byte addresses with strides in bytes, so one compiled function serves every array layout; the last
argument ``like`` is an array that only says the element type. Loads and stores assume no alignment.

The heart is the register tile of a matrix product: ``rows x (vectors * lanes)`` accumulators that stay in registers
over the whole inner loop, one broadcast of an element of A against the vectors of a row of B (Goto & van de Geijn,
"Anatomy of High-Performance Matrix Multiplication", 2008; Van Zee & van de Geijn, "BLIS", 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels.compiler import target


class Machine(NamedTuple):
    """The vector unit: bytes in a register, how many registers, and whether it multiplies and adds in one step."""

    register_bytes: int
    registers: int
    fused: bool


def _machine() -> Machine:
    triple, _, features = target()
    has = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if "avx512f" in has:
        return Machine(64, 32, True)
    if "avx2" in has and "fma" in has:
        return Machine(32, 16, True)
    if triple.startswith(("aarch64", "arm64")):
        return Machine(16, 32, True)
    return Machine(16, 16, False)


MACHINE = _machine()

# Two vectors of B and a broadcast must fit beside the accumulators: 12 x 2 of 32 registers, 6 x 2 of 16.
TILE_ROWS = 12 if MACHINE.registers == 32 else 6
TILE_VECTORS = 2
# Fewer rows for the lower edge: any row count is a greedy sum of these, so no row is ever computed in vain.
ROW_STEPS = tuple(rows for rows in (12, 8, 6, 4, 2, 1) if rows <= TILE_ROWS and (rows != 6 or TILE_ROWS == 6))
# A single row has registers to spare for a wider strip of B, which streams long runs of memory.
ROW_VECTORS = 8


def lanes(dtype: Any) -> int:
    """How many elements of ``dtype`` one register holds."""
    return MACHINE.register_bytes // np.dtype(dtype).itemsize


I32, I64, BIT = ir.IntType(32), ir.IntType(64), ir.IntType(1)


class Emitter:
    """Writes vector instructions of one element type into an IR builder."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type, width: int | None = None) -> None:
        self.builder = builder
        self.element = element
        self.size = 4 if isinstance(element, ir.FloatType) else 8
        self.lanes = width or MACHINE.register_bytes // self.size
        self.vector = ir.VectorType(element, self.lanes)

    def integer(self, value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def at(self, address: ir.Value, offset: ir.Value | int = 0) -> ir.Value:
        if isinstance(offset, int):
            offset = self.integer(offset)
        return self.builder.add(address, offset)

    def load(self, address: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        kind = kind or self.vector
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=1, typ=kind)

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=1)

    def load_masked(self, address: ir.Value, mask: ir.Value) -> ir.Value:
        pointer = self.vector.as_pointer()
        function = self._declare(f"llvm.masked.load.{self._suffix()}.p0", self.vector,
                                 [pointer, I32, mask.type, self.vector])
        zero = ir.Constant(self.vector, None)
        return self.builder.call(function, [self.builder.inttoptr(address, pointer), ir.Constant(I32, 1), mask, zero])

    def store_masked(self, value: ir.Value, address: ir.Value, mask: ir.Value) -> None:
        pointer = self.vector.as_pointer()
        function = self._declare(f"llvm.masked.store.{self._suffix()}.p0", ir.VoidType(),
                                 [self.vector, pointer, I32, mask.type])
        self.builder.call(function, [value, self.builder.inttoptr(address, pointer), ir.Constant(I32, 1), mask])

    def mask(self, count: ir.Value) -> ir.Value:
        """True in the first ``count`` lanes."""
        numbers = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.broadcast(count))

    def broadcast(self, scalar: ir.Value) -> ir.Value:
        kind = ir.VectorType(scalar.type, self.lanes)
        single = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(I32, 0))
        return self.shuffle(single, single, [0] * self.lanes)

    def shuffle(self, low: ir.Value, high: ir.Value, order: Sequence[int]) -> ir.Value:
        return self.builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(I32, len(order)), list(order)))

    def multiply_add(self, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
        # fmuladd lets LLVM round twice where the machine cannot fuse; plain fma would call a slow library routine.
        name = "fma" if MACHINE.fused else "fmuladd"
        function = self._declare(f"llvm.{name}.{self._suffix()}", self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, total])

    def total(self, vector: ir.Value) -> ir.Value:
        """The sum of all lanes, added in halves so that the order is the same on every machine of this width."""
        width = self.lanes
        while width > 1:
            width //= 2
            low = self.shuffle(vector, vector, range(width))
            high = self.shuffle(vector, vector, range(width, 2 * width))
            vector = self.builder.fadd(low, high)
        return self.builder.extract_element(vector, ir.Constant(I32, 0))

    def prefetch(self, address: ir.Value, for_writing: bool) -> None:
        pointer = ir.IntType(8).as_pointer()
        function = self._declare("llvm.prefetch.p0", ir.VoidType(), [pointer, I32, I32, I32])
        self.builder.call(function, [self.builder.inttoptr(address, pointer), ir.Constant(I32, int(for_writing)),
                                     ir.Constant(I32, 3), ir.Constant(I32, 1)])

    def _suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.size}"

    def _declare(self, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)


def _element(like: types.Array) -> ir.Type:
    return {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}[like.dtype]


def _loop(builder: ir.IRBuilder, count: ir.Value, carried: Sequence[ir.Value],
          body: Callable[[list[ir.Value]], list[ir.Value]]) -> list[ir.Value]:
    """``for _ in range(count): carried = body(carried)`` with the carried values in registers."""
    before = builder.block
    head, inside, after = (builder.append_basic_block(name) for name in ("head", "inside", "after"))
    builder.branch(head)
    builder.position_at_end(head)
    left = builder.phi(I64)
    values = [builder.phi(value.type) for value in carried]
    builder.cbranch(builder.icmp_signed(">", left, ir.Constant(I64, 0)), inside, after)
    builder.position_at_end(inside)
    results = body(list(values))
    end = builder.block
    left.add_incoming(count, before)
    left.add_incoming(builder.sub(left, ir.Constant(I64, 1)), end)
    for value, start, result in zip(values, carried, results, strict=True):
        value.add_incoming(start, before)
        value.add_incoming(result, end)
    builder.branch(head)
    builder.position_at_end(after)
    return values


class TileShape(NamedTuple):
    """A register tile to generate. ``along_k``: A's elements of a row are neighbours (else those of a column are)."""

    rows: int
    vectors: int
    along_k: bool
    masked: bool

    def key(self) -> int:
        """The number that ``multiply_tile`` computes to find this shape."""
        return ((self.rows * 16 + self.vectors) * 2 + self.along_k) * 2 + self.masked


def tile_shapes() -> Iterator[TileShape]:
    for rows in ROW_STEPS:
        for vectors in (1, TILE_VECTORS, ROW_VECTORS) if rows == 1 else (1, TILE_VECTORS):
            for along_k in (False, True):
                for masked in (False, True):
                    yield TileShape(rows, vectors, along_k, masked)


@intrinsic
def multiply_tile(typingctx, rows, vectors, along_k, columns, inner, a, a_step, b, b_step, c, c_step, more, like):  # type: ignore[no-untyped-def]
    """C[:rows, :columns] (+)= A[:rows, :inner] @ B[:inner, :columns] in registers.

    ``rows`` is one of ROW_STEPS and ``columns`` fills the last of ``vectors`` at least partly. ``a_step`` is the stride
    of A's rows if ``along_k``, else of its columns; the other one is one element. Columns of B and C are neighbours.
    ``more`` adds to C instead of overwriting it.
    """
    element = _element(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, vectors, along_k, *operands, _ = arguments
        columns = operands[0]
        emit = Emitter(builder, element)
        full = builder.icmp_signed("==", columns, builder.mul(vectors, emit.integer(emit.lanes)))
        key = emit.integer(0)
        for part, size in ((rows, 1), (vectors, 16), (along_k, 2)):
            key = builder.add(builder.mul(key, emit.integer(size)), part)
        key = builder.add(builder.mul(key, emit.integer(2)), builder.zext(builder.not_(full), I64))
        done, impossible = builder.append_basic_block("done"), builder.append_basic_block("impossible")
        choice = builder.switch(key, impossible)
        for shape in tile_shapes():
            block = builder.append_basic_block(f"rows{shape.rows}")
            choice.add_case(ir.Constant(I64, shape.key()), block)
            builder.position_at_end(block)
            builder.call(_tile_function(builder.module, element, shape), operands)
            builder.branch(done)
        builder.position_at_end(impossible)
        builder.unreachable()
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12, like), generate


def _tile_function(module: ir.Module, element: ir.Type, shape: TileShape) -> ir.Function:
    """The IR function of one register tile; arguments as in ``multiply_tile`` from ``columns`` on."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 9)
    name = f"tile_{shape.rows}x{shape.vectors}_{'k' if shape.along_k else 'm'}{'_masked' * shape.masked}_{element}"
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    columns, inner, a, a_step, b, b_step, c, c_step, more = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit = Emitter(builder, element)
    register = emit.lanes * emit.size
    # Only the last vector of a masked tile is partial, but the wide strip of a single row may end in any of its own.
    partial = shape.vectors if not shape.masked else 0 if shape.vectors == ROW_VECTORS else shape.vectors - 1
    masks = [emit.mask(builder.sub(columns, emit.integer(v * emit.lanes))) if v >= partial else None
             for v in range(shape.vectors)]

    def load_row(address: ir.Value) -> list[ir.Value]:
        parts = [emit.at(address, v * register) for v in range(shape.vectors)]
        return [emit.load(part) if mask is None else emit.load_masked(part, mask)
                for part, mask in zip(parts, masks, strict=True)]

    c_rows = [emit.at(c, builder.mul(c_step, emit.integer(row))) for row in range(shape.rows)]
    for c_row in c_rows:
        emit.prefetch(c_row, for_writing=True)
    offsets = [builder.mul(a_step, emit.integer(row)) if shape.along_k else emit.integer(row * emit.size)
               for row in range(shape.rows)]
    a_rows = [emit.at(a, offset) for offset in offsets] if shape.along_k else []

    def step(values: list[ir.Value]) -> list[ir.Value]:
        a_at, b_at, *sums = values
        b_row = load_row(b_at)
        for row in range(shape.rows):
            address = emit.at(a_rows[row], a_at) if shape.along_k else emit.at(a_at, offsets[row])
            factor = emit.broadcast(emit.load(address, element))
            for v in range(shape.vectors):
                index = row * shape.vectors + v
                sums[index] = emit.multiply_add(factor, b_row[v], sums[index])
        return [emit.at(a_at, emit.size if shape.along_k else a_step), emit.at(b_at, b_step), *sums]

    zero = ir.Constant(emit.vector, None)
    start = [emit.integer(0) if shape.along_k else a, b, *[zero] * (shape.rows * shape.vectors)]
    sums = _loop(builder, inner, start, step)[2:]

    def write(values: list[ir.Value]) -> None:
        for index, value in enumerate(values):
            row, v = divmod(index, shape.vectors)
            address, mask = emit.at(c_rows[row], v * register), masks[v]
            if mask is None:
                emit.store(value, address)
            else:
                emit.store_masked(value, address, mask)

    with builder.if_else(builder.icmp_signed("!=", more, emit.integer(0))) as (add, overwrite):
        with add:
            present = [value for c_row in c_rows for value in load_row(c_row)]
            write([builder.fadd(old, new) for old, new in zip(present, sums, strict=True)])
        with overwrite:
            write(sums)
    builder.ret_void()
    return function


@intrinsic
def multiply_dots(typingctx, rows, columns, inner, a, a_step, b, b_step, c, c_step, like):  # type: ignore[no-untyped-def]
    """C[:rows, :columns] = A[:rows, :inner] @ B[:inner, :columns] as inner products, for few rows.

    Here B's columns are contiguous (a transposed weight), so B is streamed as it lies, without packing. ``a_step`` and
    ``b_step`` are the strides of A's rows and B's columns. ``rows`` and ``columns`` are each in DOT_STEPS.
    """
    element = _element(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, columns, *operands, _ = arguments
        key = builder.add(builder.mul(rows, ir.Constant(I64, 16)), columns)
        done, impossible = builder.append_basic_block("done"), builder.append_basic_block("impossible")
        choice = builder.switch(key, impossible)
        for row_count in DOT_STEPS:
            for column_count in DOT_STEPS:
                block = builder.append_basic_block("dots")
                choice.add_case(ir.Constant(I64, row_count * 16 + column_count), block)
                builder.position_at_end(block)
                builder.call(_dots_function(builder.module, element, row_count, column_count), operands)
                builder.branch(done)
        builder.position_at_end(impossible)
        builder.unreachable()
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9, like), generate


DOT_STEPS = (4, 1)


def _dots_function(module: ir.Module, element: ir.Type, rows: int, columns: int) -> ir.Function:
    """The IR function of one tile of inner products; arguments as in ``multiply_dots`` from ``inner`` on."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 7), f"dots_{rows}x{columns}_{element}")
    function.linkage = "internal"
    inner, a, a_step, b, b_step, c, c_step = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit = Emitter(builder, element)
    register = emit.lanes * emit.size
    b_columns = [emit.at(b, builder.mul(b_step, emit.integer(column))) for column in range(columns)]
    a_rows = [emit.at(a, builder.mul(a_step, emit.integer(row))) for row in range(rows)]

    def multiply(at: ir.Value, sums: list[ir.Value], load: Callable[[ir.Value], ir.Value]) -> list[ir.Value]:
        a_parts = [load(emit.at(a_row, at)) for a_row in a_rows]
        b_parts = [load(emit.at(b_column, at)) for b_column in b_columns]
        return [emit.multiply_add(a_parts[index // columns], b_parts[index % columns], total)
                for index, total in enumerate(sums)]

    def step(values: list[ir.Value]) -> list[ir.Value]:
        at, *sums = values
        return [emit.at(at, register), *multiply(at, sums, emit.load)]

    zero = ir.Constant(emit.vector, None)
    whole = builder.sdiv(inner, emit.integer(emit.lanes))
    at, *sums = _loop(builder, whole, [emit.integer(0), *[zero] * (rows * columns)], step)
    mask = emit.mask(builder.srem(inner, emit.integer(emit.lanes)))
    sums = multiply(at, sums, lambda address: emit.load_masked(address, mask))
    for index, total in enumerate(sums):
        row, column = divmod(index, columns)
        emit.store(emit.total(total), emit.at(c, builder.add(builder.mul(c_step, emit.integer(row)),
                                                             emit.integer(column * emit.size))))
    builder.ret_void()
    return function


@intrinsic
def transpose_block(typingctx, rows, source, source_step, target, target_step, like):  # type: ignore[no-untyped-def]
    """target[:lanes, :rows] = source[:rows, :lanes].T in registers; ``rows`` is one of ``transpose_rows()``.

    The steps are strides of rows, whose elements are neighbours.
    """
    element = _element(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, source, source_step, target, target_step, _ = arguments
        emit = Emitter(builder, element)
        done, impossible = builder.append_basic_block("done"), builder.append_basic_block("impossible")
        choice = builder.switch(rows, impossible)
        for count in transpose_rows(emit.lanes):
            block = builder.append_basic_block(f"transpose{count}")
            choice.add_case(emit.integer(count), block)
            builder.position_at_end(block)
            vectors = [emit.load(emit.at(source, builder.mul(source_step, emit.integer(row)))) for row in range(count)]
            for lane, column in enumerate(_transpose(emit, vectors)):
                emit.store(column, emit.at(target, builder.mul(target_step, emit.integer(lane))))
            builder.branch(done)
        builder.position_at_end(impossible)
        builder.unreachable()
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, like), generate


def transpose_rows(width: int) -> list[int]:
    """Row counts ``transpose_block`` knows for ``width`` lanes: a full square, and the parts of a register tile."""
    return sorted({width, min(TILE_ROWS, width), TILE_ROWS % width} - {0})


def _transpose(emit: Emitter, rows: list[ir.Value]) -> list[ir.Value]:
    """Columns of a matrix of row vectors: log2(lanes) rounds of interleaving the two halves of the rows."""
    width = emit.lanes
    vectors = rows + [ir.Constant(emit.vector, None)] * (width - len(rows))
    low = [lane // 2 + width * (lane % 2) for lane in range(width)]
    high = [lane + width // 2 for lane in low]
    for _ in range(width.bit_length() - 1):
        pairs = zip(vectors[: width // 2], vectors[width // 2 :], strict=True)
        vectors = [emit.shuffle(first, second, order) for first, second in pairs for order in (low, high)]
    return [emit.shuffle(vector, vector, range(len(rows))) for vector in vectors]


@intrinsic
def move_vector(typingctx, count, source, target, like):  # type: ignore[no-untyped-def]
    """Copy ``count`` neighbouring elements, at most one register of them."""
    element = _element(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        count, source, target, _ = arguments
        emit = Emitter(builder, element)
        with builder.if_else(builder.icmp_signed("==", count, emit.integer(emit.lanes))) as (whole, part):
            with whole:
                emit.store(emit.load(source), target)
            with part:
                mask = emit.mask(count)
                emit.store_masked(emit.load_masked(source, mask), target, mask)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, like), generate


@intrinsic
def load(typingctx, address, like):  # type: ignore[no-untyped-def]
    """The element at an address."""
    element = _element(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        return Emitter(builder, element).load(arguments[0], element)

    return like.dtype(types.int64, like), generate


@intrinsic
def store(typingctx, value, address, like):  # type: ignore[no-untyped-def]
    """Write an element to an address."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        Emitter(builder, _element(like)).store(arguments[0], arguments[1])
        return context.get_dummy_value()

    return types.void(like.dtype, types.int64, like), generate


@intrinsic
def data_address(typingctx, ndarray_id):  # type: ignore[no-untyped-def]
    """Where the data of an ndarray begins, from ``id(ndarray)``: the first field behind the object header.

    That layout is part of NumPy's stable C interface (``PyArrayObject_fields``); asking NumPy costs a microsecond.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        field = builder.add(arguments[0], ir.Constant(I64, object.__basicsize__))
        return builder.load(builder.inttoptr(field, I64.as_pointer()), typ=I64)

    return types.int64(types.int64), generate


@intrinsic
def array_address(typingctx, array):  # type: ignore[no-untyped-def]
    """Where the data of a compiled function's array argument begins."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        proxy = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(proxy.data, I64)

    return types.int64(array), generate
