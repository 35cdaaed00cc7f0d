"""Functions of complex numbers, for real ones: all tensors are real."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.ops.comparisons import no_slope
from minigrad.ops.operands import as_operand
from minigrad.ops.tables import floating

__all__ = ["angle", "conj", "imag", "real"]

angle = floating(np.angle, "angle", no_slope)
angle.__doc__ = "The angle in the complex plane: 0 for positive numbers, π for negative ones."


def real(x: Any, /) -> Any:
    """Real part: ``x`` itself."""
    return as_operand(x)


def conj(x: Any, /) -> Any:
    """Complex conjugate: ``x`` itself."""
    return as_operand(x)


def imag(x: Any, /) -> Any:
    """Imaginary part: an error, as the standard defines it for complex numbers only.

    Raises:
        TypeError: always.
    """
    raise TypeError(f"x: imag is for complex numbers, which are not supported; got {as_operand(x).dtype}")
