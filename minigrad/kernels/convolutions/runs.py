"""Short runs of elements, copied or added up in vectors; images moved in and out of the polyphase layout by them.

Rows of an image are so short that the vector code which LLVM makes of a loop would hardly begin before they end. Here
the last vector of a run ends with it, and overlaps the one before.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.vector import I64, Emitter, address_of_array, element_of, loop


@kernel()
def copy_run(source, target):
    """target[:] = source, both contiguous and apart from each other."""
    move(len(target), address_of_array(source), address_of_array(target), False, target)


@intrinsic(prefer_literal=True)
def move(typingctx, count, source, target, adding, like):
    """Copy ``count`` elements, of the type of the array ``like``'s, from one address to another, or add them there."""
    element = element_of(like)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        count, source, target, _, _ = arguments
        emit = Emitter(builder, element)

        def moved(width: int, offset: ir.Value) -> ir.Value:
            kind = ir.VectorType(element, width) if width > 1 else element
            value = emit.load_as(kind, emit.at(source, offset))
            return emit.add(emit.load_as(kind, emit.at(target, offset)), value) if adding.literal_value else value

        def move_by(width: int) -> None:
            step, end = ir.Constant(I64, width * emit.size), emit.times(count, emit.size)
            with builder.if_else(builder.icmp_signed(">=", count, ir.Constant(I64, width))) as (fits, shorter):
                with fits:
                    start = builder.sub(end, step)
                    last = moved(width, start)  # before what it overlaps is written

                    def body(values: list[ir.Value]) -> list[ir.Value]:
                        emit.store(moved(width, values[0]), emit.at(target, values[0]))
                        return [builder.add(values[0], step)]

                    if width == emit.lanes:
                        others = builder.sdiv(builder.sub(count, ir.Constant(I64, 1)), ir.Constant(I64, width))
                        loop(builder, others, [ir.Constant(I64, 0)], body)
                    elif width > 1:  # of two vectors, the first
                        body([ir.Constant(I64, 0)])
                    emit.store(last, emit.at(target, start))
                with shorter:
                    if width > 1:
                        move_by(width // 2)

        move_by(emit.lanes)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, adding, like), generate


@kernel()
def lay_out(source, layout, image):
    """Fill a channel's ``layout``, image (places,), from (rows, columns); where nothing comes to lie it stays zero."""
    step = len(layout.phases)
    for row in range(len(layout.rows)):
        for phase in range(step if layout.rows[row] >= 0 else 0):
            place, column, count = layout.phases[phase]
            target = image[layout.rows[row] + place :][:count]
            if step == 1:
                copy_run(source[row, column : column + count], target)
            else:
                for i in range(count):
                    target[i] = source[row, column + i * step]


@kernel()
def take_back(image, layout, target):
    """The transpose of ``lay_out``."""
    step = len(layout.phases)
    for row in range(len(layout.rows)):
        for phase in range(step if layout.rows[row] >= 0 else 0):
            place, column, count = layout.phases[phase]
            source = image[layout.rows[row] + place :][:count]
            if step == 1:
                copy_run(source, target[row, column : column + count])
            else:
                for i in range(count):
                    target[row, column + i * step] = source[i]
