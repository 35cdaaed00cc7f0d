"""Parallel execution: the parts of a kernel on the threads of ``thread_pool.py``, the number of which a user may set.

Numba's own parallel loops take a second each to compile, wait for every thread, and release the GIL while they run:
another Python thread could start one too, and overwrite the first one's workspace. ``in_parallel`` keeps the GIL.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils

from minigrad.kernels.compiling.arguments import check_integers
from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.memory import keep_freed_memory
from minigrad.kernels.compiling.thread_pool import ThreadPool, run_parts
from minigrad.kernels.compiling.vector import I64

POINTER = ir.IntType(8).as_pointer()

# So many multiply-adds take one thread about ten microseconds. Waking others, and waiting for the last of them, takes a
# good part of that.
PARALLEL_WORK = 1 << 19

keep_freed_memory()
_pool = ThreadPool(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # set by the environment
_threads = _pool.threads
# The names by which kernels, which may come from the cache, find both in this process
llvm.add_symbol("minigrad_thread_pool", _pool.address)
llvm.add_symbol("minigrad_run_parts", run_parts.address((types.int64,) * 4))


def get_num_threads() -> int:
    """Number of threads that large kernels run on: what :func:`set_num_threads` set, at first one for each core.

    >>> import minigrad as mg
    >>> mg.get_num_threads() >= 1
    True
    """
    return _threads


def set_num_threads(threads: int) -> None:
    """Set the number of threads that large kernels run on.

    Args:
        threads: from 1 to the number at the start, which is that of the cores, or the environment's NUMBA_NUM_THREADS.

    Raises:
        TypeError: ``threads`` is no integer.
        ValueError: it is out of range.

    >>> import minigrad as mg
    >>> threads = mg.get_num_threads()
    >>> mg.set_num_threads(1)
    >>> mg.get_num_threads()
    1
    >>> mg.set_num_threads(threads)
    """
    global _threads
    check_integers(threads=threads)
    if not 1 <= threads <= _pool.threads:
        raise ValueError(
            f"threads must be from 1 to {_pool.threads}; got {threads} (for more, start with NUMBA_NUM_THREADS set)"
        )
    _threads = int(threads)


def threads_for(work: int) -> int:
    """Number of threads for ``work`` multiply-adds: one where waking more costs more than it gains."""
    return _threads if work > PARALLEL_WORK and _threads > 1 and _pool.ready() else 1


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
        data = builder.bitcast(cgutils.alloca_once_value(builder, given), POINTER)
        with builder.if_else(builder.icmp_signed("==", parts, ir.Constant(I64, 1))) as (alone, together):
            with alone:
                builder.call(task, [data, ir.Constant(I64, 0)])
            with together:
                _call_pool(builder, task, data, parts)
        return context.get_dummy_value()

    return types.void(types.int64, worker, arguments), generate


def _task(module: ir.Module, given_type: ir.Type, run: Callable[..., None]) -> ir.Function:
    """A task of the thread pool."""
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64])
    task = ir.Function(module, kind, module.get_unique_name("task"))
    task.linkage = "internal"
    data, part = task.args
    builder = ir.IRBuilder(task.append_basic_block("entry"))
    run(builder, part, cgutils.unpack_tuple(builder, builder.load(builder.bitcast(data, given_type.as_pointer()))))
    builder.ret_void()
    return task


def _call_pool(builder: ir.IRBuilder, task: ir.Value, data: ir.Value, parts: ir.Value) -> None:
    """Call ``run_parts`` in Numba's calling convention, whose first arguments are places for a result and an error."""
    entry_type = ir.FunctionType(ir.IntType(32), [POINTER, POINTER, I64, I64, I64, I64])
    entry = cgutils.get_or_insert_function(builder.module, entry_type, "minigrad_run_parts")
    pool = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "minigrad_thread_pool")
    places = [builder.bitcast(cgutils.alloca_once(builder, POINTER), POINTER) for _ in range(2)]
    given = [builder.ptrtoint(value, I64) for value in (pool, task, data)]
    builder.call(entry, [*places, *given, parts])
