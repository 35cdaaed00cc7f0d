"""Machine limits: multiply-adds in registers, and copies beyond the caches."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import MACHINE, Emitter, element_of, lanes_of, loop
from tests.benchmarks.job import Limits

# Independent sums, so many that none waits for its last step's result, and few enough to stay in registers.
CHAINS = MACHINE.registers * 3 // 4
STEPS = 1 << 21
COPY_BYTES = 1 << 28  # beyond every cache
REPEATS = 7


def measure_limits(threads: int) -> Limits:
    """The best of a few attempts, for a limit is what was reached once."""
    threads = min(threads, threads_for(COPY_BYTES))  # which starts them
    sums = np.zeros((threads, lanes_of(np.float32)), np.float32)
    flops = 2.0 * CHAINS * STEPS * lanes_of(np.float32)
    source, target = np.ones(COPY_BYTES // 4, np.float32), np.zeros(COPY_BYTES // 4, np.float32)
    return Limits(
        one_thread_flops=flops / _best(lambda: _multiply_add(sums[:1], STEPS, 1)),
        flops=threads * flops / _best(lambda: _multiply_add(sums, STEPS, threads)),
        copy=2 * COPY_BYTES / _best(lambda: _copy(source, target, threads)),
    )


def _best(call: Callable[[], Any]) -> float:
    call()  # compiles it, and touches the memory
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@intrinsic
def _register_sums(typingctx, steps, like):
    """CHAINS vectors, each multiplied and added to so many times; returns the sum of all."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        emit = Emitter(builder, element_of(like))
        half = emit.broadcast(ir.Constant(emit.element, 0.5))  # x/2 + 1/2 stays near 1: no denormal slows it down
        starts = [emit.broadcast(ir.Constant(emit.element, float(chain))) for chain in range(CHAINS)]

        def step(sums: list[ir.Value]) -> list[ir.Value]:
            return [emit.multiply_add(total, half, half) for total in sums]

        total = emit.zero
        for part in loop(builder, arguments[0], starts, step):
            total = builder.fadd(total, part)
        return emit.sum(total)

    return like.dtype(types.int64, like), generate


@kernel()
def _multiply_add(sums, steps, parts):
    in_parallel(parts, _multiply_add_part, (sums, steps))


@kernel()
def _multiply_add_part(part, parts, sums, steps):
    sums[part, 0] = _register_sums(steps, sums)


@intrinsic
def _copy_elements(typingctx, source, target):
    """The C library's own copy, which streams past the caches what would not fit into them."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        given, wanted = (
            context.make_array(kind)(context, builder, array)
            for kind, array in zip(signature.args, arguments, strict=True)
        )
        cgutils.raw_memcpy(builder, wanted.data, given.data, given.nitems, given.itemsize)
        return context.get_dummy_value()

    return types.void(source, target), generate


@kernel()
def _copy(source, target, parts):
    in_parallel(parts, _copy_part, (source, target))


@kernel()
def _copy_part(part, parts, source, target):
    first, last = share(source.size, part, parts)
    _copy_elements(source[first:last], target[first:last])
