"""Vector instructions for this CPU, written as LLVM IR through Numba's ``@intrinsic``.

Memory is addressed by integers, strides count bytes, and no alignment is assumed, so one compiled function serves every
array layout. The last argument of an intrinsic, ``like``, is an array that only says the element type.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.arrayobj import populate_array

from minigrad.kernels.compiling.compiler import intrinsic, target

I32, I64 = ir.IntType(32), ir.IntType(64)


class Machine(NamedTuple):
    """The vector unit: bytes in a register, how many registers, and what it multiplies and adds in one step."""

    register_bytes: int
    registers: int
    fused: bool
    bfloat16: bool = False  # pairs of bfloat16, added up in float32
    int8: bool = False  # quadruples of uint8 and int8, added up in int32


def _machine() -> Machine:
    triple, _, features = target()
    has = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    if "avx512f" in has:
        return Machine(64, 32, True, "avx512bf16" in has, "avx512vnni" in has)
    if {"avx2", "fma"} <= has:
        return Machine(32, 16, True, int8="avxvnni" in has)
    if triple.startswith(("aarch64", "arm64")):
        return Machine(16, 32, True)
    return Machine(16, 16, False)


MACHINE = _machine()


def lanes_of(dtype: Any) -> int:
    """Number of elements of a dtype in one register."""
    return MACHINE.register_bytes // int(np.dtype(dtype).itemsize)


class Emitter:
    """Writes vector instructions of one element type into an IR builder."""

    def __init__(self, builder: ir.IRBuilder, element: ir.Type) -> None:
        self.builder = builder
        self.element = element
        self.size = 8 if isinstance(element, ir.DoubleType) else 4
        self.lanes = MACHINE.register_bytes // self.size
        self.vector = ir.VectorType(element, self.lanes)
        self.zero = ir.Constant(self.vector, None)
        self._suffix = f"v{self.lanes}{'i' if isinstance(element, ir.IntType) else 'f'}{8 * self.size}"

    def integer(self, value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def times(self, value: ir.Value, factor: int) -> ir.Value:
        return self.builder.mul(value, self.integer(factor))

    def at(self, address: ir.Value, offset: ir.Value | int) -> ir.Value:
        return self.builder.add(address, self.integer(offset) if isinstance(offset, int) else offset)

    def load(self, address: ir.Value) -> ir.Value:
        return self.load_as(self.vector, address)

    def load_element(self, address: ir.Value) -> ir.Value:
        return self.load_as(self.element, address)

    def load_as(self, kind: ir.Type, address: ir.Value) -> ir.Value:
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=1, typ=kind)

    def store(self, value: ir.Value, address: ir.Value) -> None:
        """Write an element or a vector."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=1)

    def mask(self, count: ir.Value) -> ir.Value:
        """True in the first ``count`` lanes."""
        numbers = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.broadcast(count))

    def load_masked(self, address: ir.Value, mask: ir.Value) -> ir.Value:
        """Zero in the lanes left out, whose memory is not touched."""
        pointer = self.vector.as_pointer()
        return self.call(
            f"llvm.masked.load.{self._suffix}.p0",
            self.vector,
            [self.builder.inttoptr(address, pointer), ir.Constant(I32, 1), mask, self.zero],
        )

    def store_masked(self, value: ir.Value, address: ir.Value, mask: ir.Value) -> None:
        pointer = self.vector.as_pointer()
        self.call(
            f"llvm.masked.store.{self._suffix}.p0",
            ir.VoidType(),
            [value, self.builder.inttoptr(address, pointer), ir.Constant(I32, 1), mask],
        )

    def broadcast(self, scalar: ir.Value) -> ir.Value:
        empty = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        single = self.builder.insert_element(empty, scalar, ir.Constant(I32, 0))
        return self.shuffle(single, single, [0] * self.lanes)

    def shuffle(self, low: ir.Value, high: ir.Value, order: Sequence[int]) -> ir.Value:
        """The lanes of two vectors, counted through both, in a new order."""
        return self.builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(I32, len(order)), list(order)))

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return (self.builder.add if isinstance(self.element, ir.IntType) else self.builder.fadd)(a, b)

    def multiply_add(self, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
        # fmuladd lets LLVM round twice where the machine cannot fuse; fma would call a slow library routine there.
        name = "fma" if MACHINE.fused else "fmuladd"
        return self.call(f"llvm.{name}.{self._suffix}", self.vector, [a, b, total])

    def sum(self, vector: ir.Value) -> ir.Value:
        """All lanes added up, halving the vector each time."""
        width = self.lanes
        while width > 1:
            width //= 2
            low = self.shuffle(vector, vector, range(width))
            high = self.shuffle(vector, vector, range(width, 2 * width))
            vector = self.add(low, high)
        return self.builder.extract_element(vector, ir.Constant(I32, 0))

    def sums(self, vectors: Sequence[ir.Value]) -> ir.Value:
        """The ``sum`` of each of 2, 4, 8, … vectors, as one vector of any length: halves of two are added at a time."""
        lanes, width = self.lanes, self.lanes
        if len(vectors) > lanes:
            low, high = self.sums(vectors[: len(vectors) // 2]), self.sums(vectors[len(vectors) // 2 :])
            return self.shuffle(low, high, range(len(vectors)))
        while width > 1:  # of the lanes that belong to one vector
            width //= 2
            step = min(2, len(vectors))
            pairs = [(vectors[i], vectors[i + step - 1]) for i in range(0, len(vectors), step)]
            order = [start + lane for start in range(0, step * lanes, 2 * width) for lane in range(width)]
            behind = [lane + width for lane in order]
            vectors = [self.add(self.shuffle(*pair, order), self.shuffle(*pair, behind)) for pair in pairs]
            lanes = len(order)
        return vectors[0]

    def transpose(self, rows: Sequence[ir.Value]) -> list[ir.Value]:
        """The columns of at most ``lanes`` rows: log2(lanes) rounds of interleaving the two halves of the rows."""
        width = self.lanes
        vectors = [*rows, *[self.zero] * (width - len(rows))]
        low = [lane // 2 + width * (lane % 2) for lane in range(width)]
        high = [lane + width // 2 for lane in low]
        for _ in range(width.bit_length() - 1):
            pairs = zip(vectors[: width // 2], vectors[width // 2 :], strict=True)
            vectors = [self.shuffle(first, second, order) for first, second in pairs for order in (low, high)]
        return [self.shuffle(vector, vector, range(len(rows))) for vector in vectors]

    def prefetch(self, address: ir.Value, writing: bool = False) -> None:
        """Ask for the cache line of an address, which need not exist, before it is used."""
        pointer = self.builder.inttoptr(address, ir.IntType(8).as_pointer())
        flags = int(writing), 3, 1  # to be kept in all caches, of data
        self.call("llvm.prefetch.p0", ir.VoidType(), [pointer, *(ir.Constant(I32, flag) for flag in flags)])

    def call(self, name: str, result: ir.Type, arguments: Sequence[ir.Value]) -> ir.Value:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)


def element_of(like: Any) -> ir.Type:
    """The IR type of a Numba array type's elements."""
    return {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}[like.dtype]


def loop(
    builder: ir.IRBuilder,
    count: ir.Value,
    carried: Sequence[ir.Value],
    body: Callable[[list[ir.Value]], list[ir.Value]],
) -> list[ir.Value]:
    """``for _ in range(count): carried = body(carried)``, the carried values in registers."""
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
    builder.branch(head).set_metadata("llvm.loop", _not_unrolled(builder.module))
    builder.position_at_end(after)
    return values


def _not_unrolled(module: ir.Module) -> ir.MDValue:
    """The name of a loop that LLVM leaves as it is: copies of a long body cost time to compile and gain nothing."""
    disabled = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    name = ir.MDValue(module, [], name=str(len(module.metadata)))
    name.operands = (name, disabled)  # itself, which makes it distinct
    return name


def switch(builder: ir.IRBuilder, key: ir.Value, cases: Mapping[int, Callable[[], None]]) -> None:
    """A switch; a key that is no case is undefined behaviour."""
    done, impossible = builder.append_basic_block("done"), builder.append_basic_block("impossible")
    choice = builder.switch(key, impossible)
    for label, emit in cases.items():
        block = builder.append_basic_block(f"case{label}")
        choice.add_case(ir.Constant(I64, label), block)
        builder.position_at_end(block)
        emit()
        builder.branch(done)
    builder.position_at_end(impossible)
    builder.unreachable()
    builder.position_at_end(done)


@intrinsic
def address_of_id(typingctx, ndarray_id):
    """Address of an ndarray's data, from ``id(ndarray)``: the first field behind the object header.

    That layout is part of NumPy's stable C interface (``PyArrayObject_fields``); asking NumPy costs a microsecond.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        field = builder.add(arguments[0], ir.Constant(I64, object.__basicsize__))
        return builder.load(builder.inttoptr(field, I64.as_pointer()), typ=I64)

    return types.int64(types.int64), generate


@intrinsic
def address_of_array(typingctx, array):
    """Address of the data of a compiled function's array argument."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        proxy = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(proxy.data, I64)

    return types.int64(array), generate


@intrinsic
def array_at(typingctx, address, count, like):
    """``count`` neighbouring elements in memory as an array, of the element type of ``like``: an array or a dtype."""
    result = types.Array(like.dtype, 1, "C")

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        address, count, _ = arguments
        array = context.make_array(result)(context, builder)
        item = ir.Constant(I64, like.dtype.bitwidth // 8)
        pointer = builder.inttoptr(address, array.data.type)
        populate_array(array, data=pointer, shape=[count], strides=[item], itemsize=item, meminfo=None)
        return array._getvalue()

    return result(types.int64, types.int64, like), generate
