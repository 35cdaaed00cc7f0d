"""The exponential function as plain arithmetic, so that LLVM turns a loop over it into vector code.

exp(x) = 2^n * exp(r) with n = round(x / ln 2) and |r| <= ln(2)/2, where a short polynomial is exact to rounding. The
reduction follows Cody & Waite, "Software Manual for the Elementary Functions", 1980, ch. 6: ln 2 is split into a part
with trailing zeros, whose product with n is exact, and the rest. The error stays below 2 units in the last place.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload, register_jitable

from minigrad.kernels.compiling.compiler import intrinsic
from minigrad.kernels.compiling.vector import Emitter


def exp(x):
    """e to the power of a float32 or float64 scalar; only for use inside kernels.

    -inf gives 0, +inf gives +inf, NaN gives NaN; results too large or too small become inf, subnormal or 0.
    """
    raise NotImplementedError("compiled code only")


def exp_nonpositive(x):
    """``exp`` of x ≤ 0, a quarter faster, for the weights of a softmax; only for use inside kernels.

    Results below the smallest normal number are 0. It holds up to 87 too (709 for float64), so a logarithm of a sum
    that was rounded down does no harm.
    """
    raise NotImplementedError("compiled code only")


def expm1_nonpositive(x):
    """e to the power of x ≤ 0, minus 1, exact near 0 too; only for use inside kernels."""
    raise NotImplementedError("compiled code only")


@register_jitable(fastmath={"contract"})  # a caller that may reassociate would add the last two first
def log_weight(x, top, logarithm):
    """``(x - top) - logarithm``: a logarithm of a share of a sum of exponentials, exact for large ``x`` too.

    ``top`` is the largest of the terms' exponents, ``logarithm`` that of the sum relative to it. Their own sum would be
    rounded to the spacing of numbers as large as ``top``. Only for use inside kernels.
    """
    return (x - top) - logarithm


# No reassociation here whatever the caller allows: it would undo the split of ln 2.
@overload(exp, jit_options={"fastmath": {"contract"}})
def _exp(x):
    return _definition(x, falling=False)


@overload(exp_nonpositive, jit_options={"fastmath": {"contract"}})
def _exp_nonpositive(x):
    return _definition(x, falling=True)


@overload(expm1_nonpositive, jit_options={"fastmath": {"contract"}})
def _expm1_nonpositive(x):
    return _definition(x, falling=True, less_one=True)


def _definition(kind: Any, falling: bool, less_one: bool = False) -> Callable[..., Any] | None:
    if kind not in (types.float32, types.float64):
        return None
    dtype = np.float32 if kind == types.float32 else np.float64
    info, one = np.finfo(dtype), dtype(1)
    reduced = register_jitable(fastmath={"contract"})(_reduction(dtype, falling))
    scaled = _times_power if falling else _scaled
    low, high = _lowest(info, falling), dtype((info.maxexp + 1) * math.log(2))

    def whole(rest, shifted):
        return scaled(one + rest, shifted)

    def lessened(rest, shifted):
        power = scaled(one, shifted)
        return (power - one) + power * rest

    finish = register_jitable(fastmath={"contract"})(lessened if less_one else whole)

    def exponential(x):
        x = low if x < low else x
        if not falling:
            x = high if x > high else x
        rest, shifted = reduced(x)
        return finish(rest, shifted)

    return exponential


def exp_nonpositive_of(emit: Emitter, x: ir.Value) -> ir.Value:
    """``exp_nonpositive`` of a register: the same arithmetic, written into an IR builder."""
    dtype = np.float32 if emit.size == 4 else np.float64
    info = np.finfo(dtype)
    low = ir.Constant(emit.vector, [float(_lowest(info, falling=True))] * emit.lanes)
    x = emit.builder.select(emit.builder.fcmp_ordered("<", x, low), low, x)
    rest, shifted = _reduction(dtype, falling=True)(_Register(emit, x))
    return emit.builder.fmul((rest + dtype(1)).value, _power(emit.builder, info, shifted.value))


def _lowest(info: Any, falling: bool) -> Any:
    """The argument below which the power of 2 is 0."""
    return info.dtype.type((info.minexp - (1 if falling else info.nmant + 2)) * math.log(2))


def _reduction(dtype: Any, falling: bool) -> Callable[[Any], tuple[Any, Any]]:
    """x to exp(r) - 1 and n in the low bits of a number, or 2^n's exponent field if ``falling``: x = n ln 2 + r.

    Plain arithmetic, which serves scalars, compiled by Numba, and registers alike.
    """
    info = np.finfo(dtype)
    # Adding 1.5 * 2^mantissa rounds to an integer, which is left in the low bits of the sum: n, or the exponent field
    # of 2^n. The lowest field, 0, makes the power 0.
    rounder = dtype(1.5 * 2.0**info.nmant + (info.maxexp - 1 if falling else 0))
    per_ln2, one = dtype(1 / math.log(2)), dtype(1)
    # ln 2 to so few bits that its product with n, which has no more than maxexp's, needs no rounding.
    bits = info.nmant - info.maxexp.bit_length() - 1
    ln2_high = dtype(math.floor(math.log(2) * 2.0**bits) / 2.0**bits)
    ln2_low = dtype(_LN2_REST + (math.log(2) - float(ln2_high)))

    def single(x):
        shifted = x * per_ln2 + rounder
        n = shifted - rounder
        r = (x - n * ln2_high) - n * ln2_low
        return r * (one + r * (s2 + r * (s3 + r * (s4 + r * (s5 + r * s6))))), shifted

    def double(x):
        shifted = x * per_ln2 + rounder
        n = shifted - rounder
        r = (x - n * ln2_high) - n * ln2_low
        tail = d8 + r * (d9 + r * (d10 + r * (d11 + r * (d12 + r * d13))))
        tail = d2 + r * (d3 + r * (d4 + r * (d5 + r * (d6 + r * (d7 + r * tail)))))
        return r + r * r * tail, shifted

    return single if dtype is np.float32 else double


class _Register:
    """A register of floats with Python's operators, which write IR; products and sums may be fused."""

    __array_ufunc__ = None  # NumPy's scalars leave their operators to this class

    def __init__(self, emit: Emitter, value: ir.Value) -> None:
        self.emit, self.value = emit, value

    def __add__(self, other: Any) -> _Register:
        return self._of(self.emit.builder.fadd, self.value, self._value(other))

    def __sub__(self, other: Any) -> _Register:
        return self._of(self.emit.builder.fsub, self.value, self._value(other))

    def __mul__(self, other: Any) -> _Register:
        return self._of(self.emit.builder.fmul, self.value, self._value(other))

    __radd__, __rmul__ = __add__, __mul__

    def _of(self, instruction: Callable[..., ir.Value], *operands: ir.Value) -> _Register:
        return _Register(self.emit, instruction(*operands, flags=("contract",)))

    def _value(self, other: Any) -> ir.Value:
        if isinstance(other, _Register):
            return other.value
        return ir.Constant(self.emit.vector, [float(other)] * self.emit.lanes)


# Polynomials: of least largest relative error, 5e-9, for float32; Taylor's for float64.
s2, s3, s4, s5, s6 = (np.float32(c) for c in (0.49999994, 0.166665196, 0.0416684933, 0.00836879294, 0.00138090481))
d2, d3, d4, d5, d6, d7, d8, d9, d10, d11, d12, d13 = (1 / math.factorial(i) for i in range(2, 14))

_LN2_REST = 2.3190468138462996e-17  # ln 2 - float64(ln 2)


@intrinsic
def _scaled(typingctx, value, shifted):
    """value * 2^n, where n stands in the low bits of ``shifted``; in two steps, to reach inf and the subnormals."""
    info = np.finfo(np.float32 if value == types.float32 else np.float64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        value, shifted = arguments
        integer = ir.IntType(info.bits)
        rounder = np.array(1.5 * 2.0**info.nmant, info.dtype).view(f"i{info.bits // 8}")

        def power(n: ir.Value) -> ir.Value:
            biased = builder.add(n, ir.Constant(integer, int(info.maxexp - 1)))
            return builder.bitcast(builder.shl(biased, ir.Constant(integer, int(info.nmant))), value.type)

        n = builder.sub(builder.bitcast(shifted, integer), ir.Constant(integer, int(rounder)))
        half = builder.ashr(n, ir.Constant(integer, 1))
        return builder.fmul(builder.fmul(value, power(half)), power(builder.sub(n, half)))

    return value(value, value), generate


@intrinsic
def _times_power(typingctx, value, shifted):
    """value * 2^n, where the exponent field of 2^n stands in the low bits of ``shifted``."""
    info = np.finfo(np.float32 if value == types.float32 else np.float64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        value, shifted = arguments
        return builder.fmul(value, _power(builder, info, shifted))

    return value(value, value), generate


def _power(builder: ir.IRBuilder, info: Any, shifted: ir.Value) -> ir.Value:
    """2^n of scalars or vectors with its exponent field in their low bits."""
    integer = ir.IntType(info.bits)
    mantissa = ir.Constant(integer, int(info.nmant))
    if isinstance(shifted.type, ir.VectorType):
        integer = ir.VectorType(integer, shifted.type.count)
        mantissa = ir.Constant(integer, [int(info.nmant)] * shifted.type.count)
    return builder.bitcast(builder.shl(builder.bitcast(shifted, integer), mantissa), shifted.type)
