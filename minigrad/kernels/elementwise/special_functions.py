"""Special functions of a real variable, all computed in float64 but for float32's erf.

Sources: Abramowitz & Stegun, "Handbook of Mathematical Functions", 1964, with the numbers of the formulas given below.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_integers
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.elementwise.exponential import exp

WORK = 30  # multiply-adds that one element of erf costs about as much as
EULER_MACLAURIN = 12  # terms of an asymptotic series, enough for float64 from 10 onwards

# B₂ₖ, the Bernoulli numbers, k = 1, 2, …
_BERNOULLI = (
    *(1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330),
    *(854513 / 138, -236364091 / 2730),
)

_NEAR = tuple(
    np.float32(c) for c in (0.128379151, -0.376125067, 0.112819552, -0.0267712846, 0.00499960175, -0.000602180837)
)
_FAR = tuple(
    np.float32(c)
    for c in (-0.000207017089, -1.12762737, -0.637265801, -0.10385631, 0.0221897438, -0.00303368387, 0.000194945824)
)


def _map(function: Any, x: np.ndarray, *parameters: Any) -> np.ndarray:
    """A kernel over float64 arrays, applied to every element of any array of floats."""
    check_floats(x=x)
    values = np.array(x, np.float64, order="C").reshape(-1)  # a copy, which becomes the result
    function(values, *parameters)
    return values.reshape(x.shape).astype(x.dtype, copy=False)


# The error function


def erf(x: np.ndarray) -> np.ndarray:
    """2/√π ∫₀ˣ exp(-t²) dt.

    >>> erf(np.array([0.0, 0.5, np.inf])).round(4)
    array([0.    , 0.5205, 1.    ])
    """
    check_floats(x=x)
    y = np.empty(x.shape, x.dtype)
    run = _erf_single if x.dtype == np.float32 else _erf_double
    run(np.ascontiguousarray(x).reshape(-1), y.reshape(-1), threads_for(WORK * x.size))
    return y


@kernel()
def _erf_double(x, y, parts):
    in_parallel(parts, _erf_double_part, (x, y))


@kernel()
def _erf_double_part(part, parts, x, y):
    first, last = share(len(x), part, parts)
    for i in range(first, last):
        y[i] = math.erf(x[i])


@kernel()
def _erf_single(x, y, parts):
    in_parallel(parts, _erf_single_part, (x, y))


@kernel(fastmath=frozenset({"contract"}))
def _erf_single_part(part, parts, x, y):
    # Polynomials of least largest error, fitted for this place: x + x·p(x²) below the border, 1 - exp(q(|x|)) above it.
    first, last = share(len(x), part, parts)
    border, end, one = np.float32(0.92), np.float32(4), np.float32(1)
    p0, p1, p2, p3, p4, p5 = _NEAR
    q0, q1, q2, q3, q4, q5, q6 = _FAR
    for i in range(first, last):
        value = x[i]
        square, size = value * value, abs(value)
        near = value + value * (p0 + square * (p1 + square * (p2 + square * (p3 + square * (p4 + square * p5)))))
        t = end if size > end else size
        far = one - exp(q0 + t * (q1 + t * (q2 + t * (q3 + t * (q4 + t * (q5 + t * q6))))))
        far = -far if value < 0 else far
        y[i] = far if size > border else near


def erfc(x: np.ndarray) -> np.ndarray:
    """1 - erf(x), exact also where erf(x) is close to 1."""
    return _map(_erfc, x)


@kernel()
def _erfc(values):
    for i, x in enumerate(values):
        values[i] = math.erfc(x)


def erfcx(x: np.ndarray) -> np.ndarray:
    """exp(x²) · erfc(x), which neither overflows nor vanishes where its factors do."""
    return _map(_erfcx, x)


@kernel()
def _erfcx(values):
    for i, x in enumerate(values):
        values[i] = _scaled_complement(x) if x >= 0 else 2 * math.exp(x * x) - _scaled_complement(-x)


@kernel()
def _scaled_complement(x):
    if x < 3:
        return math.exp(x * x) * math.erfc(x)
    fraction = x  # continued fraction 7.1.14, from its end
    for k in range(30, 0, -1):
        fraction = x + k / (2 * fraction)
    return 1 / (math.sqrt(math.pi) * fraction)


def erfinv(x: np.ndarray) -> np.ndarray:
    """The inverse of erf: ±inf at ±1, NaN beyond.

    A guess (Winitzki, "A handy approximation for the error function and its inverse", 2008) and three steps of Halley's
    method, each of which triples the digits.
    """
    return _map(_erfinv, x)


@kernel()
def _erfinv(values):
    for i, value in enumerate(values):
        y = abs(value)
        if not y < 1:
            values[i] = math.copysign(math.inf, value) if y == 1 else math.nan
            continue
        logarithm = math.log1p(-y) + math.log1p(y)
        half = 2 / (math.pi * 0.147) + logarithm / 2
        x = math.sqrt(max(math.sqrt(half * half - logarithm / 0.147) - half, 0.0))
        for _ in range(3):
            miss = math.erf(x) - y if y < 0.5 else (1 - y) - math.erfc(x)
            step = miss * math.exp(x * x) * math.sqrt(math.pi) / 2
            x -= step / (1 + x * step)
        values[i] = math.copysign(x, value)


# The gamma function


def lgamma(x: np.ndarray) -> np.ndarray:
    """``log |Γ(x)|``; +inf at the poles 0, -1, -2, …"""
    return _map(_lgamma, x)


@kernel()
def _lgamma(values):
    for i, x in enumerate(values):
        values[i] = math.lgamma(x)


def digamma(x: np.ndarray) -> np.ndarray:
    """Γ'(x) / Γ(x): 6.3.5 carries x up to where the series 6.3.18 holds, 6.3.7 mirrors negative x.

    NaN at the poles -1, -2, …, and ∓inf at ±0.
    """
    return _map(_digamma, x)


@kernel()
def _cotangent(x):
    """cot(πx), exact around its zeros as well as around its poles."""
    part = x - np.rint(x)
    return 1 / math.tan(math.pi * part) if abs(part) < 0.25 else math.tan(math.pi * (math.copysign(0.5, part) - part))


@kernel()
def _digamma(values):
    for i, value in enumerate(values):
        x, total = value, 0.0
        if x == 0:
            values[i] = -math.copysign(math.inf, x)
            continue
        if x < 0:
            if x == math.floor(x):
                values[i] = math.nan
                continue
            total = -math.pi * _cotangent(x)
            x = 1 - x
        while x < 10:
            total -= 1 / x
            x += 1
        series, power = 0.0, 1 / (x * x)
        for k in range(EULER_MACLAURIN, 0, -1):
            series = (series + _BERNOULLI[k - 1] / (2 * k)) * power
        values[i] = total + math.log(x) - 0.5 / x - series


HIGHEST_ORDER = 1000  # of a derivative: each takes longer than the one before


def polygamma(n: int, x: np.ndarray) -> np.ndarray:
    """The n-th derivative of digamma, n ≥ 1: (-1)ⁿ⁺¹ n! ζ(n + 1, x), 6.4.10; 6.4.7 mirrors negative x.

    (-1)ⁿ⁺¹ · inf at the poles 0, -1, -2, …

    Raises:
        ValueError: n is not in [1, 1000], beyond which float64 holds no value for any x of practical size.
    """
    check_integers(n=n)
    if not 1 <= n <= HIGHEST_ORDER:
        raise ValueError(f"n must be in [1, {HIGHEST_ORDER}]; got {n}")
    # dⁿ/dxⁿ of π cot(πx) is πⁿ⁺¹ times a polynomial in c = cot(πx), because dc/du = -(1 + c²).
    cotangent = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(n):
        cotangent = cotangent.deriv() * np.polynomial.Polynomial([-1.0, 0.0, -1.0])
    return _map(_polygamma, x, n, np.multiply(cotangent.coef, math.pi ** (n + 1)))


@kernel()
def _polygamma(values, n, cotangent):
    sign = -1.0 if n % 2 == 0 else 1.0
    factor = sign * math.gamma(n + 1.0)
    for i, x in enumerate(values):
        if x > 0 or math.isnan(x):
            values[i] = factor * _zeta(n + 1.0, x)
        elif x == math.floor(x):
            values[i] = sign * math.inf
        else:
            c = _cotangent(x)
            mirrored = 0.0
            for coefficient in cotangent[::-1]:
                mirrored = mirrored * c + coefficient
            values[i] = -sign * factor * _zeta(n + 1.0, 1 - x) - mirrored


@kernel()
def _zeta(s, x):
    """Σ (x + k)⁻ˢ over k = 0, 1, …: the first terms one by one, the others by the Euler-Maclaurin formula 23.1.30."""
    total = 0.0
    while x < 10 + s:
        total += x**-s
        x += 1
    total += x ** (1 - s) / (s - 1) + 0.5 * x**-s
    term = s * x ** (-s - 1)  # s (s+1) … (s+2k-2) x^(-s-2k+1) / (2k)!, without the last division
    for k in range(1, EULER_MACLAURIN + 1):
        term /= (2 * k - 1) * (2 * k)
        total += _BERNOULLI[k - 1] * term
        term *= (s + 2 * k - 1) * (s + 2 * k) / (x * x)
    return total


# The sine cardinal


def sinc_derivative(x: np.ndarray, order: int) -> np.ndarray:
    """The derivative of sin(πx) / (πx) of any order, exact at 0 and close to it.

    With u = πx and s = sin u / u: u s⁽ⁿ⁾ = sin⁽ⁿ⁾ u - n s⁽ⁿ⁻¹⁾, and around 0 the Taylor series.

    Raises:
        ValueError: ``order`` is not in [1, 1000].
    """
    check_integers(order=order)
    if not 1 <= order <= HIGHEST_ORDER:
        raise ValueError(f"order must be in [1, {HIGHEST_ORDER}]; got {order}")
    return _map(_sinc_derivative, x, order)


@kernel()
def _sinc_derivative(values, order):
    for i, x in enumerate(values):
        u = math.pi * x
        if abs(u) < order + 1:
            total, power = 0.0, order % 2  # the term u^power / (power! (power + order + 1)), of alternating sign
            term = u if power else 1.0
            while power < 40 + 4 * order:
                half = (power + order) // 2
                total += (-term if half % 2 else term) / (power + order + 1)
                term *= u * u / ((power + 1) * (power + 2))
                power += 2
        else:
            total = math.sin(u) / u
            for n in range(1, order + 1):
                quarter = n % 4
                wave = math.sin(u) if quarter % 2 == 0 else math.cos(u)
                total = ((-wave if quarter >= 2 else wave) - n * total) / u
        values[i] = math.pi**order * total
