"""Maximum of a row, by integer comparison: floats compare as integers once the bits of negative ones are flipped.

LLVM vectorises a reduction over integers freely, but one over floats only where it may assume that there is no NaN.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.compiler import intrinsic, kernel

_INTEGERS: dict[Any, Any] = {types.float32: types.int32, types.float64: types.int64}
_FLOATS: dict[Any, Any] = {integer: float_ for float_, integer in _INTEGERS.items()}


@kernel()
def row_max(row):
    """The largest element, -inf of an empty row. NaN counts as above +inf if its sign bit is clear, else below -inf."""
    found = _ordered(row.dtype.type(-math.inf))
    for i in range(len(row)):
        candidate = _ordered(row[i])
        found = candidate if candidate > found else found
    return _restored(found)


@intrinsic
def _ordered(typingctx, x):
    """The integer that stands for a float, in the same order."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        return _turned(builder, builder.bitcast(arguments[0], ir.IntType(x.bitwidth)))

    return _INTEGERS[x](x), generate


@intrinsic
def _restored(typingctx, n):
    """The float that an integer stands for."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        return builder.bitcast(_turned(builder, arguments[0]), context.get_value_type(_FLOATS[n]))

    return _FLOATS[n](n), generate


def _turned(builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """All bits but the sign flipped where the sign is set."""
    sign = builder.ashr(bits, ir.Constant(bits.type, bits.type.width - 1))
    return builder.xor(bits, builder.lshr(sign, ir.Constant(bits.type, 1)))
