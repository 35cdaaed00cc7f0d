"""Softmax and its logarithm along one axis, their gradients, and the logarithm of the sum.

A row is processed while it is in cache: its maximum, its exponentials and their sum, then the scaling.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_shape
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.elementwise.exponential import exp_nonpositive, log_weight
from minigrad.kernels.rowwise.maximum import row_max

# Multiply-adds that one element of a softmax costs about as much as.
WORK = 16


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """exp(x) / sum(exp(x)) along ``axis``, shifted by the maximum so that nothing overflows.

    A row that is -inf throughout (nothing to attend) gives zeros. A row with +inf shares all weight evenly among its
    infinities. NaN fills its own row only. Weights below the smallest normal number are 0.

    Args:
        x: any shape and strides, float32 or float64.
        axis: the axis whose entries sum to one.

    Returns:
        A new array of the shape and dtype of ``x``.

    Raises:
        TypeError: ``x`` is neither float32 nor float64.
        ValueError: ``x`` has no such axis.

    >>> softmax(np.array([0.0, 0.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    return _along_axis(_softmax, axis, x=x)


@kernel()
def _softmax(x, y, parts):
    in_parallel(parts, _softmax_rows, (x, y))


@kernel(fastmath=SUMS)
def _softmax_rows(part, parts, x, y):
    # x, y: (rows, n)
    first, last = share(len(x), part, parts)
    for row in range(first, last):
        source, target = x[row], y[row]
        n = len(source)
        top = row_max(source)
        if math.isinf(top):
            weights = _at_infinity(source, top)
            for i in range(n):
                target[i] = weights if source[i] == top else weights * 0
            continue
        total = x.dtype.type(0)
        for i in range(n):
            weight = exp_nonpositive(source[i] - top)
            target[i] = weight
            total += weight
        scale = x.dtype.type(1) / total
        for i in range(n):
            target[i] *= scale


def softmax_backward(g: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient of ``softmax`` with respect to its input: y * (g - sum(g * y)).

    Args:
        g: the gradient with respect to the output, of the shape and dtype of ``y``.
        y: the output of ``softmax``.
        axis: the axis given to ``softmax``.
    """
    return _along_axis(_softmax_backward, axis, y=y, g=g)


@kernel()
def _softmax_backward(y, g, dx, parts):
    in_parallel(parts, _softmax_backward_rows, (y, g, dx))


@kernel(fastmath=SUMS)
def _softmax_backward_rows(part, parts, y, g, dx):
    # y, g, dx: (rows, n)
    first, last = share(len(y), part, parts)
    for row in range(first, last):
        weights, gradient, target = y[row], g[row], dx[row]
        mean = weights.dtype.type(0)
        for i in range(len(weights)):
            mean += weights[i] * gradient[i]
        for i in range(len(weights)):
            target[i] = weights[i] * (gradient[i] - mean)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The logarithm of ``softmax``, x - log(sum(exp(x))), exact also where the softmax itself rounds to zero.

    A row that is -inf throughout stays -inf, and ``log_softmax_backward`` gives it a zero gradient.

    Args, returns and errors as for ``softmax``.

    >>> log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    return _along_axis(_log_softmax, axis, x=x)


@kernel()
def _log_softmax(x, y, parts):
    in_parallel(parts, _log_softmax_rows, (x, y))


@kernel(fastmath=SUMS)
def _log_softmax_rows(part, parts, x, y):
    # x, y: (rows, n)
    first, last = share(len(x), part, parts)
    for row in range(first, last):
        source, target = x[row], y[row]
        n = len(source)
        top = row_max(source)
        if math.isinf(top):
            weights = math.log(_at_infinity(source, top))
            for i in range(n):
                target[i] = weights if source[i] == top or math.isnan(weights) else -math.inf
            continue
        total = x.dtype.type(0)
        for i in range(n):
            total += exp_nonpositive(source[i] - top)
        logarithm = math.log(total)
        for i in range(n):
            target[i] = log_weight(source[i], top, logarithm)


def logsumexp(x: np.ndarray) -> np.ndarray:
    """log(sum(exp(x))) along the last axis in float64: what a log-softmax subtracts, where few of its entries are read.

    A row that is -inf throughout gives -inf, one with +inf gives +inf, one with NaN gives NaN.

    Args:
        x: (..., n), float32 or float64, n at least 1.

    Returns:
        A new array (...), float64.

    Raises:
        TypeError: ``x`` is neither float32 nor float64.
        ValueError: ``x`` has no axis, or nothing along it.

    >>> logsumexp(np.zeros((2, 4))).round(3)
    array([1.386, 1.386])
    """
    check_floats(x=x)
    if not x.ndim or not x.shape[-1]:
        raise ValueError(f"x must have at least one entry in a row; got shape {x.shape}")
    result = np.empty(x.shape[:-1])
    if result.size:
        _logsumexp(np.ascontiguousarray(x).reshape(-1, x.shape[-1]), result.reshape(-1), threads_for(WORK * x.size))
    return result


@kernel()
def _logsumexp(x, y, parts):
    in_parallel(parts, _logsumexp_rows, (x, y))


@kernel(fastmath=SUMS)
def _logsumexp_rows(part, parts, x, y):
    # x: (rows, n); y: (rows,)
    first, last = share(len(x), part, parts)
    for row in range(first, last):
        source = x[row]
        top = np.float64(row_max(source))
        if math.isinf(top):
            y[row] = top + 0 * _at_infinity(source, top)
            continue
        total = 0.0
        for i in range(len(source)):
            total += exp_nonpositive(np.float64(source[i]) - top)
        y[row] = top + math.log(total)


def log_softmax_backward(g: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """The gradient of ``log_softmax`` with respect to its input: g - exp(y) * sum(g), and 0 where all y are -inf.

    Args:
        g: the gradient with respect to the output, of the shape and dtype of ``y``.
        y: the output of ``log_softmax``.
        axis: the axis given to ``log_softmax``.
    """
    return _along_axis(_log_softmax_backward, axis, y=y, g=g)


@kernel()
def _log_softmax_backward(y, g, dx, parts):
    in_parallel(parts, _log_softmax_backward_rows, (y, g, dx))


@kernel(fastmath=SUMS)
def _log_softmax_backward_rows(part, parts, y, g, dx):
    # y, g, dx: (rows, n)
    first, last = share(len(y), part, parts)
    for row in range(first, last):
        logarithms, gradient, target = y[row], g[row], dx[row]
        n = len(logarithms)
        if logarithms[0] == -math.inf and row_max(logarithms) == -math.inf:
            target[:] = 0
            continue
        total = logarithms.dtype.type(0)
        for i in range(n):
            total += gradient[i]
        for i in range(n):
            target[i] = gradient[i] - exp_nonpositive(logarithms[i]) * total


@kernel()
def _at_infinity(row, top):
    """The weight of each entry equal to an infinite maximum: an even share of one, or nothing if all are -inf.

    NaN if there is one, which the maximum may have passed over.
    """
    count = 0
    for i in range(len(row)):
        if math.isnan(row[i]):
            return row.dtype.type(math.nan)
        count += row[i] == top
    return row.dtype.type(1 / count if top > 0 else 0)


def _along_axis(rows_kernel: Callable[..., Any], axis: int, **arrays: np.ndarray) -> np.ndarray:
    """Apply a kernel over contiguous rows (inputs, output, parts) along ``axis``."""
    check_floats(**arrays)
    (name, first), *others = arrays.items()
    for other, array in others:
        check_shape(other, array, first.shape)
    if not -first.ndim <= axis < first.ndim:
        raise ValueError(f"axis must be an axis of {name}, which has {first.ndim}; got {axis}")
    last = axis in (-1, first.ndim - 1)
    inputs = [np.ascontiguousarray(array if last else np.moveaxis(array, axis, -1)) for array in arrays.values()]
    result = np.empty_like(inputs[0])
    if result.size:
        shape = (-1, result.shape[-1])
        rows_kernel(*(array.reshape(shape) for array in inputs), result.reshape(shape), threads_for(WORK * result.size))
    return result if last else np.moveaxis(result, -1, axis)
