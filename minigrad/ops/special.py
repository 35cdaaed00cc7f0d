"""Special functions, elementwise: error functions, gamma functions, and a few others.

All can be differentiated any number of times. Domains and values at poles are SciPy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.arguments import as_integer
from minigrad.ops.batching import aligned
from minigrad.ops.comparisons import where
from minigrad.ops.elementwise import clip, exp
from minigrad.ops.primitive import Primitive, primitive
from minigrad.ops.tables import binary, floating

__all__ = ["erf", "erfc", "erfcx", "erfinv", "log_ndtr", "ndtr"]
__all__ += ["digamma", "lgamma", "polygamma"]
__all__ += ["logit", "sinc", "xlogy"]

HIGHEST_ORDER = 1000  # of a polygamma function: the kernel's bound
_SLOPE = 2 / math.sqrt(math.pi)  # of erf at 0


def _erf(x: Array) -> Array:
    """Error function, 2/√π ∫₀ˣ exp(-t²) dt."""
    return kernels.erf(x)


def _erfc(x: Array) -> Array:
    """Complementary error function 1 - erf(x), accurate where erf(x) is close to 1."""
    return kernels.erfc(x)


def _erfcx(x: Array) -> Array:
    """Scaled complementary error function exp(x²) · erfc(x), without overflow."""
    return kernels.erfcx(x)


def _erfinv(x: Array) -> Array:
    """Inverse error function: ±inf at ±1, NaN beyond."""
    return kernels.erfinv(x)


def _ndtr(x: Array) -> Array:
    """Standard normal cumulative distribution function."""
    return kernels.erfc(x * -math.sqrt(0.5)) / 2


def _log_ndtr(x: Array) -> Array:
    """Logarithm of ``ndtr``, accurate in both tails."""
    scaled = x * math.sqrt(0.5)
    below = np.log(kernels.erfcx(np.maximum(-scaled, 0)) / 2) - scaled * scaled
    result: Array = np.where(x < -1, below, np.log1p(-kernels.erfc(np.maximum(scaled, -1)) / 2))
    return result


def _lgamma(x: Array) -> Array:
    """Log-gamma function ``log |Γ(x)|``; +inf at 0, -1, -2, …"""
    return kernels.lgamma(x)


def _digamma(x: Array) -> Array:
    """Digamma function Γ'(x) / Γ(x), the derivative of ``lgamma``; NaN at -1, -2, … and ∓inf at ±0."""
    return kernels.digamma(x)


@primitive(dtypes="floating", batching=aligned)
def _polygamma(x: Array, /, n: int) -> Array:
    return kernels.polygamma(n, x)


_polygamma.vjp(x=lambda g, x, n: g * _polygamma(x, n + 1))
_polygamma.name = "polygamma"

erf = floating(_erf, "erf", lambda g, x: g * (_SLOPE * exp(-x * x)))
erfc = floating(_erfc, "erfc", lambda g, x: g * (-_SLOPE * exp(-x * x)))
erfcx = floating(_erfcx, "erfcx", lambda g, x, out: g * (2 * x * out - _SLOPE))
erfinv = floating(_erfinv, "erfinv", lambda g, out: g * (exp(out * out) / _SLOPE))
ndtr = floating(_ndtr, "ndtr", lambda g, x: g * (exp(x * x / -2) / math.sqrt(2 * math.pi)))
log_ndtr = floating(_log_ndtr, "log_ndtr", lambda g, x: g * (math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5))))
lgamma = floating(_lgamma, "lgamma", lambda g, x: g * digamma(x))
digamma: Primitive = floating(_digamma, "digamma", lambda g, x: g * _polygamma(x, 1))


def polygamma(n: int, x: Any, /) -> Any:
    """Polygamma function: the n-th derivative of ``digamma`` at x, any shape.

    Raises:
        TypeError: n is no integer.
        ValueError: n is negative or above 1000.

    Example:
        >>> import minigrad as mg
        >>> mg.round(mg.polygamma(1, mg.tensor([1.0, 2.0])), 4)
        tensor([1.6449, 0.6449])
    """
    if not 0 <= as_integer(n, "n") <= HIGHEST_ORDER:
        raise ValueError(f"n: expected 0 to {HIGHEST_ORDER}, got {n}")
    return _polygamma(x, n) if n else digamma(x)


@primitive(dtypes="floating", batching=aligned)
def _sinc(x: Array, /, order: int = 0) -> Array:
    """Derivative of sinc, of any order."""
    return kernels.sinc_derivative(x, order) if order else np.sinc(x)


_sinc.vjp(x=lambda g, x, order: g * _sinc(x, order + 1))
_sinc.name = "sinc"


def sinc(x: Any, /) -> Any:
    """Normalized sinc, sin(πx) / (πx), 1 at 0."""
    return _sinc(x)


_logit = floating(
    lambda x: np.log(x / (1 - x)), "logit", lambda g, x: g / where((x >= 0) & (x <= 1), x * (1 - x), np.nan)
)


def logit(x: Any, /, eps: float | None = None) -> Any:
    """Logit, log(x / (1 - x)), the inverse of ``sigmoid``; with ``eps``, x is first clipped to [eps, 1 - eps]."""
    return _logit(x if eps is None else clip(x, eps, 1 - eps))


def _logarithm_within_xlogy(a: Any, b: Any) -> Any:
    """Safe argument of the logarithm: ``b``, but 1 where a = 0."""
    return where((a == 0) & (b <= 0), 1, b)


def _xlogy(a: Array, b: Array) -> Array:
    """Product a · log b, 0 where a = 0 (but NaN where b is)."""
    result: Array = a * np.log(np.where((a == 0) & (b == b), 1, b))
    return result


xlogy: Primitive = binary(
    _xlogy,
    "xlogy",
    lambda g, a, b: xlogy(g, _logarithm_within_xlogy(a, b)),
    lambda g, a, b: g * a / _logarithm_within_xlogy(a, b),
    "floating",
)
