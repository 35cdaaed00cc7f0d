"""Layer normalization and RMS normalization of rows, and their gradients.

Layer norm is by Ba, Kiros and Hinton, "Layer Normalization", 2016 (arXiv:1607.06450), RMS norm by Zhang and Sennrich,
"Root Mean Square Layer Normalization", 2019 (arXiv:1910.07467). One kernel serves both, for the second is the first
with a mean taken for 0:

    z = (x - mean) * rstd,    y = z * weight + bias,    rstd = 1 / sqrt(average((x - mean)²) + eps)

and with h = g * weight and averages along the row, the first of them only where there is a mean:

    dx = rstd * (h - average(h) - z * average(h * z)),    dweight = sum of g * z and dbias = sum of g over the rows
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_numbers, check_shape
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for

WORK = 4  # multiply-adds that one element costs about as much as
ROWS = 4  # so many rows' gradients of the weights are added up in registers before they go to memory


def layer_norm(
    x: np.ndarray, weight: np.ndarray | None = None, bias: np.ndarray | None = None, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each row to mean 0 and variance 1 (divided by n, not n - 1), then scale and shift it.

    Args:
        x: (..., n), float32 or float64.
        weight: (n,) factors, of the dtype of ``x``; ones by default.
        bias: (n,) summands, of the dtype of ``x``; zeros by default.
        eps: added to the variance.

    Returns:
        y (..., n), and for the backward pass mean (...) and rstd (...).

    Raises:
        TypeError: no float32 or float64, or mixed.
        ValueError: a shape does not fit.

    >>> y, mean, rstd = layer_norm(np.array([[1.0, 3.0]]), eps=0.0)
    >>> y, mean, rstd
    (array([[-1.,  1.]]), array([2.]), array([1.]))
    """
    return _forward(x, weight, bias, eps, centered=True)


def layer_norm_backward(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``layer_norm``.

    Args:
        g: (..., n), the gradient with respect to y.
        x: (..., n), as given to the forward pass.
        weight: (n,) or None, as given to the forward pass.
        mean: (...), from the forward pass.
        rstd: (...), from the forward pass.

    Returns:
        dx (..., n), dweight (n,) and dbias (n,), whether or not there were a weight and a bias.
    """
    return _backward(g, x, weight, mean, rstd, centered=True)


def rms_norm(x: np.ndarray, weight: np.ndarray | None = None, eps: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Normalise each row to mean square 1, then scale it. Arguments and errors as for ``layer_norm``.

    Returns:
        y (..., n), and for the backward pass rstd (...).

    >>> y, rstd = rms_norm(np.array([[3.0, 4.0, 0.0, 0.0]]), eps=0.0)
    >>> y, rstd
    (array([[1.2, 1.6, 0. , 0. ]]), array([0.4]))
    """
    y, _, rstd = _forward(x, weight, None, eps, centered=False)
    return y, rstd


def rms_norm_backward(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray | None, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of ``rms_norm``, dx (..., n) and dweight (n,), whether or not there was a weight."""
    return _backward(g, x, weight, np.zeros_like(rstd), rstd, centered=False)[:2]


def _forward(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float, centered: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scale, shift = _checked(x, weight, bias)
    if type(eps) is not float:
        check_numbers(eps=eps)
    n, lead = x.shape[-1], x.shape[:-1]
    y, mean, rstd = np.empty(x.shape, x.dtype), np.empty(lead, x.dtype), np.empty(lead, x.dtype)
    if x.size:
        _norm(
            np.ascontiguousarray(x).reshape(-1, n),
            scale,
            shift,
            eps,
            centered,
            y.reshape(-1, n),
            mean.reshape(-1),
            rstd.reshape(-1),
            threads_for(WORK * x.size),
        )
    return y, mean, rstd


def _checked(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias, the default in the place of None, once all arguments are found to fit."""
    given = {name: array for name, array in (("weight", weight), ("bias", bias)) if array is not None}
    check_floats(x=x, **given)
    if x.ndim == 0:
        raise ValueError("x must have at least one dimension; got a scalar")
    for name, array in given.items():
        if array.shape != x.shape[-1:]:
            check_shape(name, array, x.shape[-1:])
    scale = np.ones(x.shape[-1], x.dtype) if weight is None else np.ascontiguousarray(weight)
    shift = np.zeros(x.shape[-1], x.dtype) if bias is None else np.ascontiguousarray(bias)
    return scale, shift


@kernel()
def _norm(x, weight, bias, eps, centered, y, mean, rstd, parts):
    in_parallel(parts, _norm_rows, (x, weight, bias, eps, centered, y, mean, rstd))


@kernel(fastmath=SUMS)
def _norm_rows(part, parts, x, weight, bias, eps, centered, y, mean, rstd):
    # x, y: (rows, n); weight, bias: (n,); mean, rstd: (rows,)
    first, last = share(len(x), part, parts)
    for row in range(first, last):
        mean[row], rstd[row] = normalise_row(x[row], weight, bias, eps, centered, y[row])


@kernel(fastmath=SUMS)
def normalise_row(source, weight, bias, eps, centered, target):
    # source, weight, bias, target: (n,)
    n = len(source)
    center, squares = source.dtype.type(0), source.dtype.type(0)
    if centered:
        for i in range(n):
            center += source[i]
        center /= source.dtype.type(n)
    for i in range(n):
        squares += (source[i] - center) * (source[i] - center)
    scale = source.dtype.type(1 / math.sqrt(squares / n + eps))
    for i in range(n):
        target[i] = (source[i] - center) * scale * weight[i] + bias[i]
    return center, scale


def _backward(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray, centered: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scale, _ = _checked(x, weight, None)
    check_floats(x=x, g=g, mean=mean, rstd=rstd)
    n, lead = x.shape[-1], x.shape[:-1]
    for name, array, shape in (("g", g, x.shape), ("mean", mean, lead), ("rstd", rstd, lead)):
        check_shape(name, array, shape)
    dx = np.empty(x.shape, x.dtype)
    parts = threads_for(WORK * x.size)
    sums = np.zeros((parts, 2, n), x.dtype)  # each part's own dweight and dbias
    if x.size:
        _norm_backward(
            *(np.ascontiguousarray(array).reshape(-1, n) for array in (g, x)),
            scale,
            *(np.ascontiguousarray(array).reshape(-1) for array in (mean, rstd)),
            centered,
            dx.reshape(-1, n),
            sums,
            parts,
        )
    dweight, dbias = sums.sum(axis=0)
    return dx, dweight, dbias


@kernel()
def _norm_backward(g, x, weight, mean, rstd, centered, dx, sums, parts):
    in_parallel(parts, _norm_backward_rows, (g, x, weight, mean, rstd, centered, dx, sums))


@kernel(fastmath=SUMS)
def _norm_backward_rows(part, parts, g, x, weight, mean, rstd, centered, dx, sums):
    # g, x, dx: (rows, n); weight: (n,); mean, rstd: (rows,); sums: (parts, 2, n)
    first, last = share(len(x), part, parts)
    for start in range(first, last, ROWS):
        stop = min(start + ROWS, last)
        for row in range(start, stop):
            _normalise_backward(g[row], x[row], weight, mean[row], rstd[row], centered, dx[row])
        _add_weights(g[start:stop], x[start:stop], mean[start:stop], rstd[start:stop], sums[part, 0], sums[part, 1])


@kernel(fastmath=SUMS)
def _normalise_backward(gradient, source, weight, center, scale, centered, target):
    # gradient, source, weight, target: (n,)
    n = len(source)
    total, along = source.dtype.type(0), source.dtype.type(0)
    for i in range(n):
        h = gradient[i] * weight[i]
        total += h
        along += h * ((source[i] - center) * scale)
    total = total / source.dtype.type(n) if centered else source.dtype.type(0)
    along /= source.dtype.type(n)
    for i in range(n):
        z = (source[i] - center) * scale
        target[i] = scale * (gradient[i] * weight[i] - total - z * along)


@kernel(fastmath=SUMS)
def _add_weights(g, x, mean, rstd, dweight, dbias):
    # g, x: (at most ROWS, n), still in cache; mean, rstd: (at most ROWS,); dweight, dbias: (n,)
    if len(g) == ROWS:
        g0, g1, g2, g3 = g[0], g[1], g[2], g[3]
        x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
        m0, m1, m2, m3 = mean[0], mean[1], mean[2], mean[3]
        r0, r1, r2, r3 = rstd[0], rstd[1], rstd[2], rstd[3]
        # Two loops, for LLVM checks no more than eight pairs of arrays for overlap before it gives vectors up.
        for i in range(len(dweight)):
            first = g0[i] * ((x0[i] - m0) * r0) + g1[i] * ((x1[i] - m1) * r1)
            second = g2[i] * ((x2[i] - m2) * r2) + g3[i] * ((x3[i] - m3) * r3)
            dweight[i] += first + second
        for i in range(len(dbias)):
            dbias[i] += (g0[i] + g1[i]) + (g2[i] + g3[i])
    else:
        for row in range(len(g)):
            gradient, source, center, scale = g[row], x[row], mean[row], rstd[row]
            for i in range(len(dweight)):
                dweight[i] += gradient[i] * ((source[i] - center) * scale)
                dbias[i] += gradient[i]
