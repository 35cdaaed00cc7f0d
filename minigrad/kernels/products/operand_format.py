"""Operand formats: lanes of packed operands, and how they are multiplied and added up.

A lane of a sum takes one step of the inner product in float32 and float64. Of narrower elements it takes a group of
neighbouring steps, side by side in a 32-bit lane, as the dot-product instructions of bfloat16 and int8 do:

    A            B          lanes of B         total
    float32/64   the same   b                  += a b
    bfloat16     bfloat16   b0 b1              += a0 b0 + a1 b1                  in float32
    float32      bfloat16   b0 b1              += a0 b0 + a1 b1                  in float32
    uint8        int8       b0 b1 b2 b3        += a0 b0 + a1 b1 + a2 b2 + a3 b3  in int32
    float32      int8       b0 b1 b2 b3        += a0 b0 + a1 b1 + a2 b2 + a3 b3  in float32

Where the CPU has no such instruction, lanes are widened and multiplied one after the other: the same layout, and the
same result but for the rounding of float sums. NumPy has no bfloat16; arrays hold its bits as uint16.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.vector import I32, MACHINE, Emitter

I16 = ir.IntType(16)
FLOAT = ir.FloatType()
UPPER = 0xFFFF0000  # where a float32 holds what bfloat16 keeps of it

Vectors = Sequence[ir.Value]


class _Bfloat16(ir.FloatType):  # type: ignore[misc]  # llvmlite has no types
    """The element type of LLVM's bfloat16 instructions, which llvmlite has no name for."""

    def __str__(self) -> str:
        return "bfloat"


_Bfloat16._create_instance()  # llvmlite keeps one object of each type


class OperandFormat(NamedTuple):
    """Operand format of the register tile: A is read a group at a time, broadcast, and B a vector of groups."""

    total: ir.Type
    lane: ir.Type = I32  # of B
    group: int = 1
    a_size: int = 4  # bytes of a group of A
    along_k: tuple[bool, ...] = (False, True)  # how A lies in memory: neighbours of one column, of one row
    # Vectors whose products are added up: of A's group at an address, of a vector of B's lanes.
    broadcast: Callable[[Emitter, ir.Value], Vectors] = lambda emit, at: [emit.broadcast(emit.load_element(at))]
    widen: Callable[[Emitter, ir.Value], Vectors] = lambda emit, lanes: [lanes]
    widen_a: Callable[[Emitter, ir.Value], Vectors] = lambda emit, lanes: [lanes]  # of a vector of A's neighbours
    multiply_add: Callable[[Emitter, ir.Value, ir.Value, ir.Value], ir.Value] = Emitter.multiply_add
    # Packing from floats: a vector for each step of a group, or that many neighbouring vectors along the sum.
    pack_across: Callable[[Emitter, Vectors], ir.Value] = lambda emit, vectors: vectors[0]
    pack_along: Callable[[Emitter, Vectors], ir.Value] = lambda emit, vectors: vectors[0]
    # A float, or a vector of them, as an operand that is read without packing.
    rounded: Callable[[ir.IRBuilder, ir.Value], ir.Value] = lambda builder, value: value


def operand_format(like: Any) -> OperandFormat:
    """The format of a Numba array type's elements, or of a pair: A's array type and B's."""
    a, b = (like, like) if isinstance(like, types.Array) else like
    return _FORMATS[a.dtype, b.dtype]


# bfloat16


def _filled(kind: ir.Type, value: int) -> ir.Constant:
    """A constant of an integer type or of a vector of integers."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def rounded_bits(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Bits of a float32 whose upper half is the nearest bfloat16, ties to even; the lower half is left over.

    Adding half of what the lower bits can hold carries into the upper ones where rounding up is due; a tie carries only
    with the odd last bit's one added. A NaN, which a carry could turn into an infinity, becomes a quiet one.
    """
    several = isinstance(value.type, ir.VectorType)
    bits = builder.bitcast(value, ir.VectorType(I32, value.type.count) if several else I32)
    odd = builder.and_(builder.lshr(bits, _filled(bits.type, 16)), _filled(bits.type, 1))
    carried = builder.add(builder.add(bits, _filled(bits.type, 0x7FFF)), odd)
    quiet = builder.or_(bits, _filled(bits.type, 1 << 22))
    return builder.select(builder.fcmp_unordered("uno", value, value), quiet, carried)


def _rounded(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    bits = rounded_bits(builder, value)
    return builder.bitcast(builder.and_(bits, _filled(bits.type, UPPER)), value.type)


def _halves(emit: Emitter, lanes: ir.Value) -> Vectors:
    """Pairs of bfloat16 as two vectors of float32."""
    builder, kind = emit.builder, ir.VectorType(FLOAT, lanes.type.count)
    low = builder.shl(lanes, _filled(lanes.type, 16))
    high = builder.and_(lanes, _filled(lanes.type, UPPER))
    return [builder.bitcast(low, kind), builder.bitcast(high, kind)]


def _as_bfloat16(emit: Emitter, lanes: ir.Value) -> ir.Value:
    return emit.builder.bitcast(lanes, ir.VectorType(_Bfloat16(), 2 * lanes.type.count))


def _multiply_add_pairs(emit: Emitter, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
    name = f"llvm.x86.avx512bf16.dpbf16ps.{8 * MACHINE.register_bytes}"
    return emit.call(name, total.type, [total, _as_bfloat16(emit, a), _as_bfloat16(emit, b)])


def _words(emit: Emitter, vectors: Vectors) -> ir.Value:
    """Two vectors of float32, one after the other, as a vector of bfloat16."""
    builder, (first, second) = emit.builder, vectors
    kind = ir.VectorType(I16, 2 * first.type.count)
    if MACHINE.bfloat16:
        name = f"llvm.x86.avx512bf16.cvtne2ps2bf16.{8 * MACHINE.register_bytes}"
        return builder.bitcast(emit.call(name, ir.VectorType(_Bfloat16(), kind.count), [second, first]), kind)
    low, high = (builder.bitcast(rounded_bits(builder, vector), kind) for vector in vectors)
    return emit.shuffle(low, high, range(1, 2 * kind.count, 2))


def _pack_pairs_along(emit: Emitter, vectors: Vectors) -> ir.Value:
    return emit.builder.bitcast(_words(emit, vectors), ir.VectorType(I32, emit.lanes))


def _pack_pairs_across(emit: Emitter, vectors: Vectors) -> ir.Value:
    words = _words(emit, vectors)
    order = [lane + half * emit.lanes for lane in range(emit.lanes) for half in range(2)]
    return emit.builder.bitcast(emit.shuffle(words, words, order), ir.VectorType(I32, emit.lanes))


_PAIRS = OperandFormat(
    FLOAT,
    group=2,
    along_k=(False,),
    widen=_halves,
    pack_across=_pack_pairs_across,
    pack_along=_pack_pairs_along,
    rounded=_rounded,
)
_BFLOAT16 = (
    _PAIRS._replace(
        broadcast=lambda emit, at: [_broadcast_group(emit, at)],
        widen=lambda emit, lanes: [lanes],
        multiply_add=_multiply_add_pairs,
    )
    if MACHINE.bfloat16
    else _PAIRS._replace(broadcast=lambda emit, at: _halves(emit, _broadcast_group(emit, at)))
)


# int8


def _broadcast_group(emit: Emitter, at: ir.Value) -> ir.Value:
    """A group of A, packed in a lane, in all lanes."""
    return emit.broadcast(emit.load_as(I32, at))


def _broadcast_floats(group: int) -> Callable[[Emitter, ir.Value], Vectors]:
    """Each float of a group of A in all lanes of a vector of its own."""
    return lambda emit, at: [emit.broadcast(emit.load_element(emit.at(at, emit.size * i))) for i in range(group)]


def _bytes_as_floats(emit: Emitter, lanes: ir.Value) -> Vectors:
    builder = emit.builder
    left = [builder.shl(lanes, _filled(lanes.type, shift)) if shift else lanes for shift in (24, 16, 8, 0)]
    return [builder.sitofp(builder.ashr(x, _filled(lanes.type, 24)), emit.vector) for x in left]


def _even_and_odd(emit: Emitter, lanes: ir.Value, signed: bool) -> Vectors:
    """Quadruples of bytes as two vectors of 16-bit words."""
    builder = emit.builder
    words = builder.bitcast(lanes, ir.VectorType(I16, 2 * lanes.type.count))
    eight = _filled(words.type, 8)
    shift = builder.ashr if signed else builder.lshr
    return [shift(builder.shl(words, eight), eight), shift(words, eight)]


def _multiply_add_words(emit: Emitter, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
    """Products of words, added up by twos: one instruction on x86, which LLVM knows by this form."""
    builder = emit.builder
    wide = ir.VectorType(I32, a.type.count)
    products = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    even, odd = (emit.shuffle(products, products, range(first, wide.count, 2)) for first in range(2))
    return builder.add(builder.add(even, odd), total)


def _multiply_add_bytes(emit: Emitter, a: ir.Value, b: ir.Value, total: ir.Value) -> ir.Value:
    return emit.call(f"llvm.x86.avx512.vpdpbusd.{8 * MACHINE.register_bytes}", total.type, [total, a, b])


_QUADRUPLES = OperandFormat(I32, group=4, along_k=(True,), broadcast=lambda emit, at: [_broadcast_group(emit, at)])
_INT8 = (
    _QUADRUPLES._replace(multiply_add=_multiply_add_bytes)
    if MACHINE.int8
    else _QUADRUPLES._replace(
        broadcast=lambda emit, at: _even_and_odd(emit, _broadcast_group(emit, at), signed=False),
        widen=lambda emit, lanes: _even_and_odd(emit, lanes, signed=True),
        widen_a=lambda emit, lanes: _even_and_odd(emit, lanes, signed=False),
        multiply_add=_multiply_add_words,
    )
)

_FORMATS = {
    (types.float32, types.float32): OperandFormat(FLOAT, FLOAT),
    (types.float64, types.float64): OperandFormat(ir.DoubleType(), ir.DoubleType(), a_size=8),
    (types.uint16, types.uint16): _BFLOAT16,
    (types.float32, types.uint16): _PAIRS._replace(a_size=8, along_k=(True,), broadcast=_broadcast_floats(2)),
    (types.uint8, types.int8): _INT8,
    (types.float32, types.int8): OperandFormat(
        FLOAT, group=4, a_size=16, along_k=(True,), broadcast=_broadcast_floats(4), widen=_bytes_as_floats
    ),
}
