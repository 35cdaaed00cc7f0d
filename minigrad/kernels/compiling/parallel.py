"""Parallel execution: the parts of a kernel on Numba's thread pool.

Numba's own parallel loops take a second each to compile, and they release the GIL while they run: another Python thread
could then start a loop too, which Numba's workqueue threading layer answers with an abort, and which would overwrite
the first one's workspace. ``in_parallel`` calls the same thread pool and keeps the GIL.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import get_num_threads, types
from numba.core import cgutils
from numba.np.ufunc import parallel

from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.memory import keep_freed_memory
from minigrad.kernels.compiling.vector import I64, loop

POINTER = ir.IntType(8).as_pointer()

# So many multiply-adds take one thread about ten microseconds. Waking others, and waiting for the last of them, takes a
# good part of that.
PARALLEL_WORK = 1 << 19

keep_freed_memory()
get_num_threads()  # starts the threads, and tells LLVM where to find them before any kernel is loaded
# What get_num_threads() calls once it has made sure, behind a lock, that the threads run
_number_of_threads = parallel._get_num_threads  # type: ignore[attr-defined]  # made when they start
_POOL_PROCESS = os.getpid()


def threads_for(work: int) -> int:
    """Number of threads for ``work`` multiply-adds: one where waking more costs more than it gains.

    One also in a forked child, for threads do not survive a fork.
    """
    if work <= PARALLEL_WORK or os.getpid() != _POOL_PROCESS:
        return 1
    return int(_number_of_threads())


@kernel()
def share(size, part, parts):
    """The bounds of one part's contiguous share of ``range(size)``."""
    return size * part // parts, size * (part + 1) // parts


@intrinsic
def in_parallel(typingctx, parts, worker, arguments):
    """``worker(part, parts, *arguments)`` for every part; ``worker`` is a kernel that neither returns nor raises.

    A single part runs in the calling thread, without waking the others.
    """
    called = worker.get_call_type(typingctx, (types.int64, types.int64, *arguments), {})

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        parts, _, packed = values
        overload = worker.dispatcher.overloads[called.args]
        context.active_code_library.add_linking_library(overload.library)
        function = context.declare_function(builder.module, overload.fndesc)

        def run(inside: ir.IRBuilder, part: ir.Value, given: Sequence[ir.Value]) -> None:
            context.call_conv.call_function(inside, function, types.none, called.args, [part, *given])

        given = cgutils.pack_struct(builder, [parts, *cgutils.unpack_tuple(builder, packed)])
        task = _task(builder.module, given.type, run)
        # The operand is an array of single bytes at address 0, so that the address of an element is its number.
        places = [ir.Constant(POINTER, None), parts, ir.Constant(I64, 1), given]
        operands, counts, strides, data = (cgutils.alloca_once_value(builder, value) for value in places)
        loop_arguments = [operands, counts, strides, builder.bitcast(data, POINTER)]
        with builder.if_else(builder.icmp_signed("==", parts, ir.Constant(I64, 1))) as (alone, together):
            with alone:
                builder.call(task, loop_arguments)
            with together:
                _call_pool(builder, [task, *loop_arguments], parts)
        return context.get_dummy_value()

    return types.void(types.int64, worker, arguments), generate


def _task(module: ir.Module, given_type: ir.Type, run: Callable[..., None]) -> ir.Function:
    """A task of the thread pool: the inner loop of a NumPy ufunc whose one operand is the first part's number."""
    kind = ir.FunctionType(ir.VoidType(), [POINTER.as_pointer(), I64.as_pointer(), I64.as_pointer(), POINTER])
    task = ir.Function(module, kind, module.get_unique_name("task"))
    task.linkage = "internal"
    operands, counts, _, data = task.args
    builder = ir.IRBuilder(task.append_basic_block("entry"))
    given = cgutils.unpack_tuple(builder, builder.load(builder.bitcast(data, given_type.as_pointer())))

    def step(values: list[ir.Value]) -> list[ir.Value]:
        run(builder, values[0], given)
        return [builder.add(values[0], ir.Constant(I64, 1))]

    loop(builder, builder.load(counts), [builder.ptrtoint(builder.load(operands), I64)], step)
    builder.ret_void()
    return task


def _call_pool(builder: ir.IRBuilder, pointers: Sequence[ir.Value], parts: ir.Value) -> None:
    """Call the entry of Numba's threading layers as Numba does for a parallel ufunc, but with the GIL held."""
    entry_type = ir.FunctionType(ir.VoidType(), [POINTER] * 5 + [I64] * 3)
    entry = cgutils.get_or_insert_function(builder.module, entry_type, "numba_parallel_for")
    inner_dimensions, operand_count = ir.Constant(I64, 0), ir.Constant(I64, 1)
    arguments = [builder.bitcast(pointer, POINTER) for pointer in pointers]
    builder.call(entry, [*arguments, inner_dimensions, operand_count, parts])
