"""Online softmax of a few rows of scores at a time, and its backward, as vector instructions.

The maximum and the sum of a row are each at the end of a chain of instructions that wait for one another. Several rows
at once fill the time.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.compiler import intrinsic
from minigrad.kernels.compiling.vector import I32, Emitter, element_of, loop, switch
from minigrad.kernels.elementwise.exponential import exp_nonpositive_of

# Numbers of rows processed together: any number of rows is a greedy sum of these.
SIDE_BY_SIDE = (4, 1)


@intrinsic
def online_softmax_rows(typingctx, rows, columns, scores, step, largest, total, factor, like):
    """One step of the online softmax, in place: weights exp(score - largest), running ``largest`` and ``total``.

    ``rows`` is of SIDE_BY_SIDE, ``columns`` a multiple of a register's lanes, ``step`` the stride of rows in bytes. The
    last three are addresses of an element for each row; ``factor`` is set to what earlier weights are to be multiplied
    by. A hidden score, -inf, gets no weight, even where all are hidden; all weight is on +inf if there is one.
    """
    element = element_of(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        rows, *operands, _ = arguments
        emit = Emitter(builder, element)
        switch(builder, rows, {count: partial(_online_softmax, emit, count, *operands) for count in SIDE_BY_SIDE})
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7, like), generate


def _online_softmax(
    emit: Emitter,
    count: int,
    columns: ir.Value,
    scores: ir.Value,
    step: ir.Value,
    largest: ir.Value,
    total: ir.Value,
    factor: ir.Value,
) -> None:
    builder = emit.builder
    starts = [emit.at(scores, emit.times(step, row)) for row in range(count)]
    vectors, register = builder.udiv(columns, emit.integer(emit.lanes)), emit.lanes * emit.size
    hidden = ir.Constant(emit.vector, [-math.inf] * emit.lanes)

    def find_maxima(values: list[ir.Value]) -> list[ir.Value]:
        at, *tops = values
        loaded = [emit.load(emit.at(start, at)) for start in starts]
        return [emit.at(at, register), *(_larger(builder, *pair) for pair in zip(loaded, tops, strict=True))]

    _, *tops = loop(builder, vectors, [emit.integer(0), *[hidden] * count], find_maxima)
    before = [emit.broadcast(emit.load_element(emit.at(largest, row * emit.size))) for row in range(count)]
    tops = [_larger(builder, _top(emit, top), old) for top, old in zip(tops, before, strict=True)]
    shifts = [builder.select(builder.fcmp_ordered("==", top, hidden), emit.zero, top) for top in tops]

    def exponentiate(values: list[ir.Value]) -> list[ir.Value]:
        at, *sums = values
        weights = [_weight(emit, emit.load(emit.at(start, at)), top) for start, top in zip(starts, shifts, strict=True)]
        for start, weight in zip(starts, weights, strict=True):
            emit.store(weight, emit.at(start, at))
        return [emit.at(at, register), *(builder.fadd(*pair) for pair in zip(sums, weights, strict=True))]

    _, *sums = loop(builder, vectors, [emit.integer(0), *[emit.zero] * count], exponentiate)
    for row, (old, top, shift, added) in enumerate(zip(before, tops, shifts, sums, strict=True)):
        at_largest, at_total, at_factor = (emit.at(place, row * emit.size) for place in (largest, total, factor))
        scaling = _first(builder, _weight(emit, old, shift))
        earlier = builder.fmul(emit.load_element(at_total), scaling)
        emit.store(builder.fadd(earlier, emit.sum(added)), at_total)
        emit.store(_first(builder, top), at_largest)
        emit.store(scaling, at_factor)


@intrinsic
def softmax_backward_row(typingctx, columns, scores, dweights, largest, logarithm, delta, like):
    """Softmax and its backward, in place: exp(score - largest - logarithm) and weight * (dweight - delta).

    ``columns`` is a multiple of a register's lanes; ``scores`` and ``dweights`` are addresses.
    """
    element = element_of(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        columns, scores, dweights, *numbers, _ = arguments
        emit = Emitter(builder, element)
        top, logarithm, mean = (emit.broadcast(value) for value in numbers)

        def step(values: list[ir.Value]) -> list[ir.Value]:
            (at,) = values
            weight = _weight(emit, emit.load(emit.at(scores, at)), top, logarithm)
            change = builder.fsub(emit.load(emit.at(dweights, at)), mean)
            emit.store(weight, emit.at(scores, at))
            emit.store(builder.fmul(weight, change), emit.at(dweights, at))
            return [emit.at(at, emit.lanes * emit.size)]

        loop(builder, builder.udiv(columns, emit.integer(emit.lanes)), [emit.integer(0)], step)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, *[like.dtype] * 3, like), generate


def _weight(emit: Emitter, score: ir.Value, top: ir.Value, logarithm: ir.Value | None = None) -> ir.Value:
    """exp(score - top - logarithm) for a score of at most ``top``; exp(-logarithm) where they are equal infinities."""
    builder = emit.builder
    same = builder.fcmp_ordered("==", score, top)
    x = builder.select(same, emit.zero, builder.fsub(score, top))
    return exp_nonpositive_of(emit, x if logarithm is None else builder.fsub(x, logarithm))


def _larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """The larger of two vectors, b where either is NaN: one instruction on many machines."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _top(emit: Emitter, vector: ir.Value) -> ir.Value:
    """The largest lane, in all lanes."""
    distance = emit.lanes
    while distance > 1:
        distance //= 2
        order = [lane ^ distance for lane in range(emit.lanes)]
        vector = _larger(emit.builder, vector, emit.shuffle(vector, vector, order))
    return vector


def _first(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    return builder.extract_element(vector, ir.Constant(I32, 0))
