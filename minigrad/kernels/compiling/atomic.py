"""Atomic operations on 64-bit words of memory, in one order for all threads, and the processor's hint of waiting."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.compiling.compiler import intrinsic, target

_ORDER = "seq_cst"
_WORD = ir.IntType(64)


@intrinsic
def atomic_load(typingctx, address):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        return builder.load_atomic(builder.inttoptr(arguments[0], _WORD.as_pointer()), _ORDER, 8, typ=_WORD)

    return types.int64(types.int64), generate


@intrinsic
def atomic_store(typingctx, address, value):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        address, value = arguments
        builder.store_atomic(value, builder.inttoptr(address, _WORD.as_pointer()), _ORDER, 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def atomic_add(typingctx, address, value):
    """Add to a word and return the sum."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        address, value = arguments
        before = builder.atomic_rmw("add", builder.inttoptr(address, _WORD.as_pointer()), value, _ORDER)
        return builder.add(before, value)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def compare_exchange(typingctx, address, expected, value):
    """Replace a word's expected value; return whether it had it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        address, expected, value = arguments
        pair = builder.cmpxchg(builder.inttoptr(address, _WORD.as_pointer()), expected, value, _ORDER, _ORDER)
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typingctx):
    """Tell the processor that this thread waits for memory to change."""
    x86 = target()[0].startswith(("x86", "i386", "i686"))

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        if x86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate
