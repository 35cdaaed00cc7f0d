"""Machine limits: multiply-adds in registers, copies beyond the caches, and streaming reads."""

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
from minigrad.kernels.compiling.vector import MACHINE, Emitter, address_of_array, element_of, lanes_of, loop
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


# Streaming reads

READ_STEP = 8  # vectors that are read together
AHEAD = 1 << 11  # bytes that are asked for before they are read


def read_bandwidth(size: int, threads: int, repeats: int = REPEATS) -> float:
    """Bytes a second of reading a buffer of so many bytes from end to end: the best of a few attempts."""
    threads = min(threads, threads_for(COPY_BYTES))
    buffer, sums = np.ones(size // PAGE * PAGE, np.uint8), np.zeros((threads, 8), np.int64)
    _read(buffer, sums, threads)
    return buffer.size / min(_seconds(lambda: _read(buffer, sums, threads)) for _ in range(repeats))


PAGE = 4096


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@intrinsic
def _sum_bytes(typingctx, address, size):
    """Sum of a buffer's 32-bit words; the size is a multiple of what a step reads."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        address, size = arguments
        emit = Emitter(builder, ir.IntType(32))
        register = emit.lanes * emit.size

        def step(values: list[ir.Value]) -> list[ir.Value]:
            at, *sums = values
            places = [emit.at(at, register * vector) for vector in range(READ_STEP)]
            for place in places:
                emit.prefetch(emit.at(place, AHEAD))
            totals = [emit.add(total, emit.load(place)) for total, place in zip(sums, places, strict=True)]
            return [emit.at(at, register * READ_STEP), *totals]

        steps = builder.udiv(size, emit.integer(register * READ_STEP))
        _, total, *others = loop(builder, steps, [address, *[emit.zero] * READ_STEP], step)
        for other in others:
            total = emit.add(total, other)
        return builder.sext(emit.sum(total), ir.IntType(64))

    return types.int64(types.int64, types.int64), generate


@kernel()
def _read(buffer, sums, parts):
    in_parallel(parts, _read_part, (buffer, sums))


@kernel()
def _read_part(part, parts, buffer, sums):
    first, last = share(len(buffer) // PAGE, part, parts)
    sums[part, 0] = _sum_bytes(address_of_array(buffer) + first * PAGE, (last - first) * PAGE)
