"""Activation functions and their gradients: GELU, its approximation by tanh, SiLU, sigmoid, ReLU.

The functions of one number serve other kernels too, on values in registers.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import types
from numba.extending import overload

from minigrad.kernels.compiling.arguments import check_floats, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.elementwise.exponential import exp_nonpositive, expm1_nonpositive

WORK = 16  # multiply-adds that one element costs about as much as

CONTRACT = frozenset({"contract"})

# Functions of one number, only for use inside kernels


def normal_distribution(x):
    """Φ(x) and √(2π)·φ(x) of the standard normal distribution, to 2e-7 in float32 and to rounding in float64."""
    raise NotImplementedError("compiled code only")


# Φ(-t) = exp(-t²/2) · R(t), where R falls slowly: a polynomial in (1 - ct) / (1 + ct) over 1 + ct, after Shepherd and
# Laframboise, "Chebyshev approximation of (1+2x)exp(x²)erfc x in 0 ≤ x < ∞", 1981. Fitted for this place, to 3e-8.
_BEND = np.float32(0.3)
_R = (0.2219706, 0.16457924, 0.0865507, 0.02776501, 0.00180271, -0.00244209, -0.00051223, 0.00028608)


@overload(normal_distribution, jit_options={"fastmath": {"contract"}})
def _normal_distribution(x):
    half, one, two = np.float32(0.5), np.float32(1), np.float32(2)
    r0, r1, r2, r3, r4, r5, r6, r7 = (np.float32(c) for c in _R)

    def single(x):
        t = abs(x)
        density = exp_nonpositive(-half * x * x)
        s = one / (one + _BEND * t)
        u = two * s - one
        ratio = r0 + u * (r1 + u * (r2 + u * (r3 + u * (r4 + u * (r5 + u * (r6 + u * r7))))))
        tail = density * (s * ratio)
        return (one - tail if x > 0 else tail), density

    def double(x):
        return 0.5 * math.erfc(-x * math.sqrt(0.5)), math.exp(-0.5 * x * x)

    return {types.float32: single, types.float64: double}.get(x)


@kernel(fastmath=CONTRACT)
def gelu_of(x):
    """x · Φ(x)."""
    return x * normal_distribution(x)[0]


@kernel(fastmath=CONTRACT)
def gelu_slope(x):
    """Φ(x) + x · φ(x)."""
    probability, density = normal_distribution(x)
    return probability + x * density * type(x)(1 / math.sqrt(2 * math.pi))


@kernel(fastmath=CONTRACT)
def sigmoids(x):
    """1 / (1 + e⁻ˣ) and 1 / (1 + eˣ), neither as a difference from 1."""
    one = type(x)(1)
    rest = exp_nonpositive(-abs(x))
    larger = one / (one + rest)
    smaller = rest * larger
    return (larger if x > 0 else smaller), (smaller if x > 0 else larger)


@kernel(fastmath=CONTRACT)
def sigmoid_of(x):
    """1 / (1 + e⁻ˣ)."""
    return sigmoids(x)[0]


@kernel(fastmath=CONTRACT)
def tanh_of(x):
    """tanh(x) = (1 - e⁻²ˣ) / (1 + e⁻²ˣ), to rounding near 0 too."""
    fall = expm1_nonpositive(type(x)(-2) * abs(x))
    size = -fall / (type(x)(2) + fall)
    return size if x > 0 else -size


@kernel(fastmath=CONTRACT)
def silu_of(x):
    """x · sigmoid(x)."""
    return x * sigmoids(x)[0]


@kernel(fastmath=CONTRACT)
def silu_slope(x):
    """s + x · s · (1 - s), where s = sigmoid(x)."""
    above, below = sigmoids(x)
    return above * (type(x)(1) + x * below)


# tanh u = 2 sigmoid(2u) - 1 turns the approximation by tanh into x · sigmoid(2u), u = √(2/π) (x + 0.044715 x³).
_TWICE, _CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715


@kernel(fastmath=CONTRACT)
def gelu_tanh_of(x):
    """x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2."""
    a, b = type(x)(_TWICE), type(x)(_TWICE * _CUBIC)
    return x * sigmoids(x * (a + b * x * x))[0]


@kernel(fastmath=CONTRACT)
def gelu_tanh_slope(x):
    """s + x · s · (1 - s) · 2u', where s = sigmoid(2u)."""
    a, b, c = type(x)(_TWICE), type(x)(_TWICE * _CUBIC), type(x)(3 * _TWICE * _CUBIC)
    above, below = sigmoids(x * (a + b * x * x))
    return above * (type(x)(1) + x * below * (a + c * x * x))


# Functions of arrays


def gelu(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    """x · Φ(x), or its approximation by tanh when ``approximate`` is "tanh" (Hendrycks and Gimpel, 2016).

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    return _forward(_gelu_tanh if approximate == "tanh" else _gelu, x)


def gelu_backward(g: np.ndarray, x: np.ndarray, approximate: str = "none") -> np.ndarray:
    """The gradient of ``gelu``: g · (Φ(x) + x · φ(x)), or the approximation's."""
    return _backward(_gelu_tanh_backward if approximate == "tanh" else _gelu_backward, g, x=x)


@kernel()
def _gelu(x, y, parts):
    in_parallel(parts, _gelu_part, (x, y))


@kernel(fastmath=CONTRACT)
def _gelu_part(part, parts, x, y):
    first, last = share(len(x), part, parts)
    source, target = x[first:last], y[first:last]
    for i in range(len(source)):
        target[i] = gelu_of(source[i])


@kernel()
def _gelu_backward(g, x, dx, parts):
    in_parallel(parts, _gelu_backward_part, (g, x, dx))


@kernel(fastmath=CONTRACT)
def _gelu_backward_part(part, parts, g, x, dx):
    first, last = share(len(x), part, parts)
    gradient, source, target = g[first:last], x[first:last], dx[first:last]
    for i in range(len(source)):
        target[i] = gradient[i] * gelu_slope(source[i])


@kernel()
def _gelu_tanh(x, y, parts):
    in_parallel(parts, _gelu_tanh_part, (x, y))


@kernel(fastmath=CONTRACT)
def _gelu_tanh_part(part, parts, x, y):
    first, last = share(len(x), part, parts)
    source, target = x[first:last], y[first:last]
    for i in range(len(source)):
        target[i] = gelu_tanh_of(source[i])


@kernel()
def _gelu_tanh_backward(g, x, dx, parts):
    in_parallel(parts, _gelu_tanh_backward_part, (g, x, dx))


@kernel(fastmath=CONTRACT)
def _gelu_tanh_backward_part(part, parts, g, x, dx):
    first, last = share(len(x), part, parts)
    gradient, source, target = g[first:last], x[first:last], dx[first:last]
    for i in range(len(source)):
        target[i] = gradient[i] * gelu_tanh_slope(source[i])


def silu(x: np.ndarray) -> np.ndarray:
    """x · sigmoid(x) (Elfwing, Uchibe and Doya, 2017)."""
    return _forward(_silu, x)


def silu_backward(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The gradient of ``silu``: g · s · (1 + x · (1 - s)), where s = sigmoid(x)."""
    return _backward(_silu_backward, g, x=x)


@kernel()
def _silu(x, y, parts):
    in_parallel(parts, _silu_part, (x, y))


@kernel(fastmath=CONTRACT)
def _silu_part(part, parts, x, y):
    first, last = share(len(x), part, parts)
    source, target = x[first:last], y[first:last]
    for i in range(len(source)):
        target[i] = silu_of(source[i])


@kernel()
def _silu_backward(g, x, dx, parts):
    in_parallel(parts, _silu_backward_part, (g, x, dx))


@kernel(fastmath=CONTRACT)
def _silu_backward_part(part, parts, g, x, dx):
    first, last = share(len(x), part, parts)
    gradient, source, target = g[first:last], x[first:last], dx[first:last]
    for i in range(len(source)):
        target[i] = gradient[i] * silu_slope(source[i])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ)."""
    return _forward(_sigmoid, x)


def sigmoid_backward(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The gradient of ``sigmoid`` from its result: g · y · (1 - y)."""
    return _backward(_sigmoid_backward, g, y=y)


@kernel()
def _sigmoid(x, y, parts):
    in_parallel(parts, _sigmoid_part, (x, y))


@kernel(fastmath=CONTRACT)
def _sigmoid_part(part, parts, x, y):
    first, last = share(len(x), part, parts)
    source, target = x[first:last], y[first:last]
    for i in range(len(source)):
        target[i] = sigmoid_of(source[i])


@kernel()
def _sigmoid_backward(g, y, dx, parts):
    in_parallel(parts, _sigmoid_backward_part, (g, y, dx))


@kernel(fastmath=CONTRACT)
def _sigmoid_backward_part(part, parts, g, y, dx):
    first, last = share(len(y), part, parts)
    gradient, result, target = g[first:last], y[first:last], dx[first:last]
    for i in range(len(result)):
        target[i] = gradient[i] * result[i] * (y.dtype.type(1) - result[i])


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0); NaN stays."""
    return _forward(_relu, x)


def relu_backward(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The gradient of max(x, 0) from its result: g where that is not 0."""
    return _backward(_relu_backward, g, y=y)


@kernel()
def _relu(x, y, parts):
    in_parallel(parts, _relu_part, (x, y))


@kernel()
def _relu_part(part, parts, x, y):
    first, last = share(len(x), part, parts)
    source, target = x[first:last], y[first:last]
    for i in range(len(source)):
        value = source[i]
        target[i] = x.dtype.type(0) if value <= 0 else value


@kernel()
def _relu_backward(g, y, dx, parts):
    in_parallel(parts, _relu_backward_part, (g, y, dx))


@kernel()
def _relu_backward_part(part, parts, g, y, dx):
    first, last = share(len(y), part, parts)
    gradient, result, target = g[first:last], y[first:last], dx[first:last]
    for i in range(len(result)):
        passed = gradient[i]
        target[i] = passed if result[i] != 0 else y.dtype.type(0)


def _forward(run: Callable[..., None], x: np.ndarray) -> np.ndarray:
    check_floats(x=x)
    y = np.empty(x.shape, x.dtype)
    if x.size:
        run(np.ascontiguousarray(x).reshape(-1), y.reshape(-1), threads_for(WORK * x.size))
    return y


def _backward(run: Callable[..., None], g: np.ndarray, **saved: np.ndarray) -> np.ndarray:
    ((_, array),) = saved.items()
    check_floats(**saved, g=g)
    check_shape("g", g, array.shape)
    dx = np.empty(array.shape, array.dtype)
    if dx.size:
        flat = (np.ascontiguousarray(given).reshape(-1) for given in (g, array))
        run(*flat, dx.reshape(-1), threads_for(WORK * dx.size))
    return dx
