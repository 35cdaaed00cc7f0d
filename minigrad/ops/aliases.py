"""Aliases: NumPy's older names of functions that the Array API standard renamed."""

from __future__ import annotations

from minigrad.ops.comparisons import bitwise_invert, bitwise_left_shift, bitwise_right_shift
from minigrad.ops.complex import conj
from minigrad.ops.elementwise import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    deg2rad,
    divide,
    pow,
    rad2deg,
    remainder,
    round,
)
from minigrad.ops.joining import concat

__all__ = [
    "absolute",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "around",
    "bitwise_not",
    "concatenate",
    "conjugate",
    "degrees",
    "invert",
    "left_shift",
    "mod",
    "power",
    "radians",
    "right_shift",
    "rint",
    "true_divide",
]

absolute = abs
arccos, arcsin, arctan, arctan2 = acos, asin, atan, atan2
arccosh, arcsinh, arctanh = acosh, asinh, atanh
around = rint = round
bitwise_not = invert = bitwise_invert
left_shift, right_shift = bitwise_left_shift, bitwise_right_shift
concatenate = concat
conjugate = conj
degrees, radians = rad2deg, deg2rad
mod = remainder
power = pow
true_divide = divide
