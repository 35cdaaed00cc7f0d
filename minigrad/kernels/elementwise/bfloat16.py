"""bfloat16 as a storage format: the upper halves of float32, in arrays of their bits, uint16.

Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.arguments import check_arrays
from minigrad.kernels.compiling.compiler import intrinsic


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Bits of the nearest bfloat16, ties to even; a NaN stays one.

    Args:
        x: float32, any shape.

    Returns:
        uint16, of the same shape.

    Raises:
        TypeError: it is no float32 array.

    >>> from_bfloat16(to_bfloat16(np.array([1, 1.00390625, 3.14159], np.float32)))
    array([1.      , 1.      , 3.140625], dtype=float32)
    """
    check_arrays(x=x)
    if x.dtype != np.float32:
        raise TypeError(f"x must be a float32 array; got {x.dtype}")
    bits = np.ascontiguousarray(x).view(np.uint32)
    # Half of what the lower bits can hold carries into the upper ones; a tie with the odd last bit's one alone.
    carried = bits + np.uint32(0x7FFF) + (bits >> 16 & 1)
    return (np.where(np.isnan(x), bits | np.uint32(1 << 22), carried) >> 16).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 values of an array of bfloat16's bits, uint16.

    Raises:
        TypeError: it is no uint16 array.

    >>> from_bfloat16(np.array([0x3F80, 0x4000], np.uint16))
    array([1., 2.], dtype=float32)
    """
    check_arrays(bits=bits)
    if bits.dtype != np.uint16:
        raise TypeError(f"bits must be a uint16 array; got {bits.dtype}")
    return (bits.astype(np.uint32) << 16).view(np.float32)


@intrinsic
def widened(typingctx, x):
    """An element as a float: bfloat16's bits as float32, others as they are."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        (value,) = arguments
        if x != types.uint16:
            return value
        bits = builder.shl(builder.zext(value, ir.IntType(32)), ir.Constant(ir.IntType(32), 16))
        return builder.bitcast(bits, ir.FloatType())

    return (types.float32 if x == types.uint16 else x)(x), generate
