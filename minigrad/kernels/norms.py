"""Layer normalisation over the last axis (Ba, Kiros & Hinton, "Layer Normalization", 2016, arXiv:1607.06450).

y = (x - mean) * rstd * weight + bias,    rstd = 1 / sqrt(variance + eps)
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.arguments import check_floats, check_shape
from minigrad.kernels.compiler import SUMS, kernel
from minigrad.kernels.parallel import in_parallel, share, threads_for

WORK = 4  # multiply-adds that one element costs about as much as


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
    given = {name: array for name, array in (("weight", weight), ("bias", bias)) if array is not None}
    check_floats(x=x, **given)
    if x.ndim == 0:
        raise ValueError("x must have at least one dimension; got a scalar")
    for name, array in given.items():
        check_shape(name, array, x.shape[-1:])
    n, lead = x.shape[-1], x.shape[:-1]
    scale = np.ones(n, x.dtype) if weight is None else np.ascontiguousarray(weight)
    shift = np.zeros(n, x.dtype) if bias is None else np.ascontiguousarray(bias)
    y, mean, rstd = np.empty(x.shape, x.dtype), np.empty(lead, x.dtype), np.empty(lead, x.dtype)
    if x.size:
        rows = np.ascontiguousarray(x).reshape(-1, n)
        _layer_norm(
            rows, scale, shift, eps, y.reshape(-1, n), mean.reshape(-1), rstd.reshape(-1), threads_for(WORK * x.size)
        )
    return y, mean, rstd


@kernel()
def _layer_norm(x, weight, bias, eps, y, mean, rstd, parts):
    in_parallel(parts, _layer_norm_rows, (x, weight, bias, eps, y, mean, rstd))


@kernel(fastmath=SUMS)
def _layer_norm_rows(part, parts, x, weight, bias, eps, y, mean, rstd):
    # x, y: (rows, n); weight, bias: (n,); mean, rstd: (rows,)
    first, last = share(len(x), part, parts)
    zero = x.dtype.type(0)
    for row in range(first, last):
        source, target = x[row], y[row]
        n = len(source)
        total = zero
        for i in range(n):
            total += source[i]
        center = total / x.dtype.type(n)
        squares = zero
        for i in range(n):
            squares += (source[i] - center) * (source[i] - center)
        scale = x.dtype.type(1 / math.sqrt(squares / n + eps))
        for i in range(n):
            target[i] = (source[i] - center) * scale * weight[i] + bias[i]
        mean[row], rstd[row] = center, scale


def layer_norm_backward(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``layer_norm``. With z = (x - mean) * rstd and h = g * weight, averages taken along the row:

        dx = rstd * (h - average(h) - z * average(h * z)),  dweight = sum over rows (g * z),  dbias = sum over rows (g)

    Args:
        g: (..., n), the gradient with respect to y.
        x: (..., n), as given to the forward pass.
        weight: (n,) or None, as given to the forward pass.
        mean: (...), from the forward pass.
        rstd: (...), from the forward pass.

    Returns:
        dx (..., n), dweight (n,) and dbias (n,), whether or not there were a weight and a bias.
    """
    given = {} if weight is None else {"weight": weight}
    check_floats(x=x, g=g, mean=mean, rstd=rstd, **given)
    n, lead = x.shape[-1], x.shape[:-1]
    for name, array, shape in (("g", g, x.shape), ("mean", mean, lead), ("rstd", rstd, lead)):
        check_shape(name, array, shape)
    scale = np.ones(n, x.dtype) if weight is None else np.ascontiguousarray(weight)
    check_shape("weight", scale, (n,))
    dx = np.empty(x.shape, x.dtype)
    parts = threads_for(WORK * x.size)
    sums = np.zeros((parts, 2, n), x.dtype)  # each part's own dweight and dbias
    if x.size:
        _layer_norm_backward(
            *(np.ascontiguousarray(array).reshape(-1, n) for array in (g, x)),
            scale,
            *(np.ascontiguousarray(array).reshape(-1) for array in (mean, rstd)),
            dx.reshape(-1, n),
            sums,
            parts,
        )
    dweight, dbias = sums.sum(axis=0)
    return dx, dweight, dbias


@kernel()
def _layer_norm_backward(g, x, weight, mean, rstd, dx, sums, parts):
    in_parallel(parts, _layer_norm_backward_rows, (g, x, weight, mean, rstd, dx, sums))


@kernel(fastmath=SUMS)
def _layer_norm_backward_rows(part, parts, g, x, weight, mean, rstd, dx, sums):
    # g, x, dx: (rows, n); weight: (n,); mean, rstd: (rows,); sums: (parts, 2, n)
    first, last = share(len(x), part, parts)
    dweight, dbias = sums[part, 0], sums[part, 1]
    zero = x.dtype.type(0)
    for row in range(first, last):
        source, gradient, target = x[row], g[row], dx[row]
        center, scale = mean[row], rstd[row]
        n = len(source)
        total, along = zero, zero
        for i in range(n):
            z = (source[i] - center) * scale
            total += gradient[i] * weight[i]
            along += gradient[i] * weight[i] * z
            dweight[i] += gradient[i] * z
            dbias[i] += gradient[i]
        total /= x.dtype.type(n)
        along /= x.dtype.type(n)
        for i in range(n):
            z = (source[i] - center) * scale
            target[i] = scale * (gradient[i] * weight[i] - total - z * along)
