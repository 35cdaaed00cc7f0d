"""Parametric rectified linear unit: a learned slope below zero. He et al., "Delving Deep into Rectifiers", 2015."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for

WORK = 4  # multiply-adds that one element costs about as much as


def prelu(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x where x > 0, weight · x elsewhere.

    Args:
        x: (rows, n), float32 or float64.
        weight: (n,), of the same dtype.

    Raises:
        TypeError: no float32 or float64, or mixed.
        ValueError: the shapes do not fit.

    >>> prelu(np.array([[-2.0, 3.0], [4.0, -5.0]]), np.array([0.5, 0.1]))
    array([[-1. ,  3. ],
           [ 4. , -0.5]])
    """
    _check(x, weight)
    y = np.empty(x.shape, x.dtype)
    if x.size:
        _prelu(np.ascontiguousarray(x), np.ascontiguousarray(weight), y, threads_for(WORK * x.size))
    return y


def prelu_backward(g: np.ndarray, x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of ``prelu``, dx (rows, n) and dweight (n,); g is (rows, n)."""
    _check(x, weight)
    check_floats(x=x, g=g)
    check_shape("g", g, x.shape)
    dx, parts = np.empty(x.shape, x.dtype), threads_for(WORK * x.size)
    sums = np.zeros((parts, x.shape[1]), x.dtype)  # each part's own dweight
    if x.size:
        _prelu_backward(*map(np.ascontiguousarray, (g, x, weight)), dx, sums, parts)
    return dx, sums.sum(axis=0)


def _check(x: np.ndarray, weight: np.ndarray) -> None:
    check_floats(x=x, weight=weight)
    if x.ndim != 2:
        raise ValueError(f"x must have two dimensions; got shape {x.shape}")
    check_shape("weight", weight, x.shape[1:])


@kernel()
def _prelu(x, weight, y, parts):
    in_parallel(parts, _prelu_rows, (x, weight, y))


@kernel()
def _prelu_rows(part, parts, x, weight, y):
    # x, y: (rows, n); weight: (n,)
    first, last = share(len(x), part, parts)
    for row in range(first, last):
        source, target = x[row], y[row]
        for i in range(len(weight)):
            below = weight[i] * source[i]
            target[i] = source[i] if source[i] > 0 else below


@kernel()
def _prelu_backward(g, x, weight, dx, sums, parts):
    in_parallel(parts, _prelu_backward_rows, (g, x, weight, dx, sums))


@kernel()
def _prelu_backward_rows(part, parts, g, x, weight, dx, sums):
    # g, x, dx: (rows, n); weight: (n,); sums: (parts, n)
    first, last = share(len(x), part, parts)
    own = sums[part]
    for row in range(first, last):
        gradient, source, target = g[row], x[row], dx[row]
        for i in range(len(weight)):
            bent = weight[i] * gradient[i]
            target[i] = gradient[i] if source[i] > 0 else bent
        for i in range(len(weight)):
            below = source[i] if not source[i] > 0 else source.dtype.type(0)  # infinity above zero counts for nothing
            own[i] += gradient[i] * below
