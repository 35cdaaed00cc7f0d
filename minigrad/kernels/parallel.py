"""Running a kernel's parts on Numba's threads, the one thread pool.

A function compiled with ``parallel=True`` takes a second or more, and every caller of a compiled function optimises a
copy of it anew. So there is a single parallel loop here for all kernels and all types; it reaches the parts of a kernel
through a pointer.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from llvmlite import ir
from numba import get_num_threads, prange, types
from numba.core import cgutils

from minigrad.kernels.compiler import address_of, intrinsic, kernel

I64 = ir.IntType(64)

# Waking the other threads takes a few microseconds. This many elements of light work (a product's multiply-adds, or
# a sixteenth as many elements of a pass over memory) take about as long on one thread.
PARALLEL_WORK = 1 << 17


def threads_for(work: int) -> int:
    """How many parts to split ``work`` multiply-adds into: one where waking more threads costs more than it gains."""
    return 1 if work <= PARALLEL_WORK else int(get_num_threads())


@cache
def launcher() -> int:
    """The address of the parallel loop, to hand to ``in_parallel``."""
    return address_of(_launch, (types.int64,) * 3)


@kernel(parallel=True)
def _launch(task, parts, arguments):
    for part in prange(parts):
        _call_task(task, part, parts, arguments)


@intrinsic
def _call_task(typingctx, task, part, parts, arguments):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        kind = ir.FunctionType(ir.VoidType(), [I64] * 3)
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@intrinsic(prefer_literal=True)
def in_parallel(typingctx, launch, parts, worker, arguments):
    """``worker(part, parts, *arguments)`` for every part; ``worker`` is a kernel that returns and raises nothing.

    ``launch`` is ``launcher()``. A single part runs in the calling thread, without waking the others.
    """
    kinds = (types.int64, types.int64, *arguments)
    called = worker.get_call_type(typingctx, kinds, {})

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        launch, parts, _, packed = values
        name = context.mangler(f"{worker.dispatcher.py_func.__name__}.task", signature.args)
        task = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [I64] * 3), name)
        task.linkage = "internal"
        inside = ir.IRBuilder(task.append_basic_block("entry"))
        part, count, address = task.args
        tuple_value = inside.load(inside.inttoptr(address, packed.type.as_pointer()), typ=packed.type)
        overload = worker.dispatcher.overloads[called.args]
        context.active_code_library.add_linking_library(overload.library)
        function = context.declare_function(builder.module, overload.fndesc)
        context.call_conv.call_function(
            inside, function, types.none, called.args, [part, count, *cgutils.unpack_tuple(inside, tuple_value)]
        )
        inside.ret_void()

        place = builder.ptrtoint(cgutils.alloca_once_value(builder, packed), I64)
        with builder.if_else(builder.icmp_signed("==", parts, ir.Constant(I64, 1))) as (alone, together):
            with alone:
                builder.call(task, [ir.Constant(I64, 0), parts, place])
            with together:
                kinds = (types.int64,) * 3
                function = context.call_conv.get_function_type(types.none, kinds)
                context.call_conv.call_function(
                    builder,
                    builder.inttoptr(launch, function.as_pointer()),
                    types.none,
                    kinds,
                    [builder.ptrtoint(task, I64), parts, place],
                )
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, worker, arguments), generate


@kernel()
def share(size, part, parts):
    """The bounds of one part's contiguous share of ``range(size)``."""
    return size * part // parts, size * (part + 1) // parts
