"""Normalization of images by statistics of whole channels: group norm, batch norm, and their gradients.

Batch norm is by Ioffe and Szegedy, "Batch Normalization", 2015 (arXiv:1502.03167), group norm by Wu and He, "Group
Normalization", 2018 (arXiv:1803.08494); instance norm is group norm with a channel in each group. They differ in the
set of elements that share a mean and a variance: some channels of one example, or one channel of all examples. One
kernel serves both, for x seen as (outer, samples, groups, channels, size) with a set for each of outer and groups:

    z = (x - mean) * rstd,    y = z * weight + bias,    rstd = 1 / sqrt(average((x - mean)²) + eps)

and with h = g * weight and averages over a set:

    dx = rstd * (h - average(h) - z * average(h * z)),    dweight = sum of g * z and dbias = sum of g over a channel

Where a channel has few elements in a row, a batch norm takes several channels at once, side by side in vectors.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_integers, check_numbers, check_shape
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.rowwise.reduction import CHUNK, sum_run

WORK = 4  # multiply-adds that one element costs about as much as
COLUMNS = 64  # the most elements of a channel in a row with which a batch norm takes channels side by side


def group_norm(
    x: np.ndarray, groups: int, weight: np.ndarray | None = None, bias: np.ndarray | None = None, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each group of channels of each example to mean 0 and variance 1, then scale and shift its channels.

    Args:
        x: (N, C, ...), float32 or float64.
        groups: the number of groups of neighbouring channels, a divisor of C.
        weight: (C,) factors, of the dtype of ``x``; ones by default.
        bias: (C,) summands, of the dtype of ``x``; zeros by default.
        eps: added to the variance.

    Returns:
        y (N, C, ...), and for the backward pass mean (N, groups) and rstd (N, groups).

    Raises:
        TypeError: no float32 or float64, or mixed.
        ValueError: a shape does not fit, or the groups do not divide the channels.

    >>> y, mean, rstd = group_norm(np.array([[[1.0], [3.0], [2.0], [6.0]]]), 2, eps=0.0)
    >>> y.ravel(), mean, rstd
    (array([-1.,  1., -1.,  1.]), array([[2., 4.]]), array([[1. , 0.5]]))
    """
    check_integers(groups=groups)
    _check_channels(x, weight=weight, bias=bias)
    if groups < 1 or x.shape[1] % groups:
        raise ValueError(f"groups must divide the {x.shape[1]} channels; got {groups}")
    y, (mean, _, rstd) = _forward(x, (len(x), 1, groups), weight, bias, eps)
    return y, mean.reshape(-1, groups), rstd.reshape(-1, groups)


def group_norm_backward(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``group_norm``.

    Args:
        g: (N, C, ...), the gradient with respect to y.
        x: (N, C, ...), as given to the forward pass.
        weight: (C,) or None, as given to the forward pass.
        mean: (N, groups), from the forward pass.
        rstd: (N, groups), from the forward pass.

    Returns:
        dx (N, C, ...), dweight (C,) and dbias (C,), whether or not there were a weight and a bias.
    """
    _check_channels(x, weight=weight)
    groups = mean.shape[-1] if mean.ndim == 2 else 0
    if not groups or x.shape[1] % groups:
        raise ValueError(f"mean must have shape ({len(x)}, groups); got {mean.shape}")
    _check_gradient(g, x, mean, rstd, (len(x), groups))
    return _backward(g, x, (len(x), 1, groups), weight, mean, rstd)


def batch_norm(
    x: np.ndarray, weight: np.ndarray | None = None, bias: np.ndarray | None = None, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each channel to mean 0 and variance 1 over all axes but its own, then scale and shift it.

    Arguments and errors as for ``group_norm``.

    Returns:
        y (N, C, ...), mean and variance (divided by n, not n - 1) (C,), and for the backward pass rstd (C,).

    >>> y, mean, variance, rstd = batch_norm(np.array([[1.0, 2.0], [3.0, 6.0]]), eps=0.0)
    >>> y, mean, variance, rstd
    (array([[-1., -1.],
           [ 1.,  1.]]), array([2., 4.]), array([1., 4.]), array([1. , 0.5]))
    """
    _check_channels(x, weight=weight, bias=bias)
    y, statistics = _forward(x, (1, len(x), x.shape[1]), weight, bias, eps)
    return y, *statistics


def batch_norm_backward(
    g: np.ndarray, x: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``batch_norm``: as ``group_norm_backward``, with mean and rstd (C,)."""
    _check_channels(x, weight=weight)
    _check_gradient(g, x, mean, rstd, x.shape[1:2])
    return _backward(g, x, (1, len(x), x.shape[1]), weight, mean, rstd)


def _check_channels(x: np.ndarray, **given: np.ndarray | None) -> None:
    arrays = {name: array for name, array in given.items() if array is not None}
    check_floats(x=x, **arrays)
    if x.ndim < 2:
        raise ValueError(f"x must have shape (N, C, ...); got {x.shape}")
    for name, array in arrays.items():
        check_shape(name, array, x.shape[1:2])


def _check_gradient(
    g: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, statistics: tuple[int, ...]
) -> None:
    check_floats(x=x, g=g, mean=mean, rstd=rstd)
    for name, array, shape in (("g", g, x.shape), ("mean", mean, statistics), ("rstd", rstd, statistics)):
        check_shape(name, array, shape)


def _shape(x: np.ndarray, sets: tuple[int, int, int]) -> tuple[int, int, int, int, int]:
    """(N, C, ...) as (outer, samples, groups, channels, size)."""
    return *sets, x.shape[1] // max(sets[2], 1), math.prod(x.shape[2:])


def _side_by_side(shape: tuple[int, int, int, int, int]) -> bool:
    """True of a batch norm of channels so short that several fill a vector."""
    outer, _, _, channels, size = shape
    return outer == channels == 1 and size <= COLUMNS


def _forward(
    x: np.ndarray, sets: tuple[int, int, int], weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """y, and of each set the mean, variance and rstd."""
    check_numbers(eps=eps)
    shape, parts = _shape(x, sets), threads_for(WORK * x.size)
    scale = np.ones(x.shape[1], x.dtype) if weight is None else np.ascontiguousarray(weight)
    shift = np.zeros(x.shape[1], x.dtype) if bias is None else np.ascontiguousarray(bias)
    y, statistics = np.empty(x.shape, x.dtype), np.zeros((3, shape[0] * shape[2]), x.dtype)
    x, eps = np.ascontiguousarray(x), float(eps)
    if not x.size:
        pass
    elif _side_by_side(shape):
        _batch_norm_columns(_as_columns(x), scale, shift, eps, _as_columns(y), statistics, parts)
    else:
        _norm_sets(x.reshape(shape), scale, shift, eps, y.reshape(shape), *statistics, parts)
    return y, statistics


def _backward(
    g: np.ndarray,
    x: np.ndarray,
    sets: tuple[int, int, int],
    weight: np.ndarray | None,
    mean: np.ndarray,
    rstd: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape, parts = _shape(x, sets), threads_for(WORK * x.size)
    scale = np.ones(x.shape[1], x.dtype) if weight is None else np.ascontiguousarray(weight)
    mean, rstd = (np.ascontiguousarray(array).reshape(-1) for array in (mean, rstd))
    dx = np.empty(x.shape, x.dtype)
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    if x.size and _side_by_side(shape):
        rows = [_as_columns(array) for array in (g, x, dx)]
        return dx, *_batch_norm_backward_columns(rows[0], rows[1], rows[2], scale, mean, rstd, parts)
    sums = np.zeros((2, len(x), x.shape[1]), x.dtype)  # each example's own dweight and dbias
    if x.size:
        views = [array.reshape(shape) for array in (g, x, dx)]
        _norm_backward_sets(*views, scale, mean, rstd, sums.reshape(2, *shape[:-1]), parts)
    along, total = sums.sum(axis=1)
    return dx, along, total


def _as_columns(array: np.ndarray) -> np.ndarray:
    """(N, C, ...) as (N, C * size)."""
    return array.reshape(len(array), -1)


@kernel()
def _norm_sets(x, weight, bias, eps, y, mean, variance, rstd, parts):
    in_parallel(parts, _norm_each_set, (x, weight, bias, eps, y, mean, variance, rstd))


@kernel(fastmath=SUMS)
def _norm_each_set(part, parts, x, weight, bias, eps, y, mean, variance, rstd):
    # x, y: (outer, samples, groups, channels, size); weight, bias: (C,); mean, variance, rstd: (outer * groups,)
    outer, samples, groups, channels, size = x.shape
    count = samples * channels * size
    first, last = share(outer * groups, part, parts)
    for unit in range(first, last):
        i, group = unit // groups, unit % groups
        total, squares = 0.0, 0.0
        for sample in range(samples):
            total += sum_run(x[i, sample, group].reshape(-1))
        center = x.dtype.type(total / count)
        for sample in range(samples):
            squares += _sum_of_squares(x[i, sample, group].reshape(-1), center)
        mean[unit] = center
        variance[unit] = squares / count
        rstd[unit] = 1 / math.sqrt(squares / count + eps)
        for sample in range(samples):
            for k in range(channels):
                source, target, channel = x[i, sample, group, k], y[i, sample, group, k], group * channels + k
                _scale(source, center, rstd[unit] * weight[channel], bias[channel], target)


@kernel(fastmath=SUMS)
def _sum_of_squares(run, center):
    total = 0.0
    for start in range(0, len(run), CHUNK):
        chunk, partial = run[start : start + CHUNK], run.dtype.type(0)
        for i in range(len(chunk)):
            partial += (chunk[i] - center) * (chunk[i] - center)
        total += partial
    return total


@kernel(fastmath=SUMS)
def _scale(source, center, factor, summand, target):
    for i in range(len(source)):
        target[i] = (source[i] - center) * factor + summand


@kernel()
def _norm_backward_sets(g, x, dx, weight, mean, rstd, sums, parts):
    in_parallel(parts, _norm_backward_each_set, (g, x, dx, weight, mean, rstd, sums))


@kernel(fastmath=SUMS)
def _norm_backward_each_set(part, parts, g, x, dx, weight, mean, rstd, sums):
    # g, x, dx: (outer, samples, groups, channels, size); weight: (C,); mean, rstd: (outer * groups,);
    # sums: (2, outer, samples, groups, channels)
    outer, samples, groups, channels, size = x.shape
    count, number = samples * channels * size, x.dtype.type
    first, last = share(outer * groups, part, parts)
    for unit in range(first, last):
        i, group = unit // groups, unit % groups
        center, scale = mean[unit], rstd[unit]
        along, total = 0.0, 0.0  # of h * z and h
        for sample in range(samples):
            for k in range(channels):
                product, plain = _gradient_sums(g[i, sample, group, k], x[i, sample, group, k], center)
                product *= scale
                along += product * weight[group * channels + k]
                total += plain * weight[group * channels + k]
                sums[0, i, sample, group, k] = product
                sums[1, i, sample, group, k] = plain
        slope, shift = number(scale * scale * along / count), number(scale * total / count)
        for sample in range(samples):
            for k in range(channels):
                gradient, source, target = g[i, sample, group, k], x[i, sample, group, k], dx[i, sample, group, k]
                _gradient(gradient, source, center, scale * weight[group * channels + k], slope, shift, target)


@kernel(fastmath=SUMS)
def _gradient_sums(gradient, source, center):
    # Sums of gradient * (source - center) and of gradient
    along, total = 0.0, 0.0
    for start in range(0, len(source), CHUNK):
        g, x = gradient[start : start + CHUNK], source[start : start + CHUNK]
        product, plain = source.dtype.type(0), source.dtype.type(0)
        for i in range(len(x)):
            product += g[i] * (x[i] - center)
            plain += g[i]
        along += product
        total += plain
    return along, total


@kernel(fastmath=SUMS)
def _gradient(gradient, source, center, factor, slope, shift, target):
    for i in range(len(source)):
        target[i] = gradient[i] * factor - shift - (source[i] - center) * slope


# Batch norm of channels with few elements in a row: positions side by side, each thread with examples of its own


def _batch_norm_columns(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float, y: np.ndarray, statistics: np.ndarray, parts: int
) -> None:
    # x, y: (samples, C * size); weight, bias: (C,); statistics: (3, C)
    samples, positions = x.shape
    size = positions // len(weight)
    mean, variance, rstd = statistics
    sums = np.zeros((parts, positions))
    _column_sums(x, sums, parts)
    mean[:] = _channel_sums(sums, size) / (samples * size)
    center = np.repeat(mean, size)
    sums[:] = 0
    _column_squares(x, center, sums, parts)
    variance[:] = averages = _channel_sums(sums, size) / (samples * size)
    rstd[:] = 1 / np.sqrt(averages + eps)
    _scale_columns(x, center, np.repeat(rstd * weight, size), np.repeat(bias, size), y, parts)


def _batch_norm_backward_columns(
    g: np.ndarray,
    x: np.ndarray,
    dx: np.ndarray,
    weight: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    parts: int,
) -> tuple[np.ndarray, np.ndarray]:
    # g, x, dx: (samples, C * size); weight, mean, rstd: (C,)
    samples, positions = x.shape
    size = positions // len(weight)
    center, sums = np.repeat(mean, size), np.zeros((2, parts, positions))
    _column_gradient_sums(g, x, center, sums, parts)
    dweight, dbias = _channel_sums(sums[0], size) * rstd, _channel_sums(sums[1], size)
    factor = rstd * weight
    slope, shift = factor * rstd * dweight / (samples * size), factor * dbias / (samples * size)
    columns = [np.repeat(array.astype(x.dtype), size) for array in (factor, slope, shift)]
    _column_gradients(g, x, center, *columns, dx, parts)
    return dweight.astype(x.dtype), dbias.astype(x.dtype)


def _channel_sums(sums: np.ndarray, size: int) -> np.ndarray:
    """The sums of all threads' sums of each position, (parts, C * size), as (C,)."""
    return sums.sum(axis=0).reshape(-1, size).sum(axis=1)


@kernel()
def _column_sums(x, sums, parts):
    in_parallel(parts, _add_columns, (x, sums))


@kernel(fastmath=SUMS)
def _add_columns(part, parts, x, sums):
    # x: (samples, positions); sums: (parts, positions), double
    first, last = share(len(x), part, parts)
    for start in range(0, x.shape[1], CHUNK):
        total = sums[part, start : start + CHUNK]
        for row in range(first, last):
            source = x[row, start : start + CHUNK]
            for j in range(len(source)):
                total[j] += source[j]


@kernel()
def _column_squares(x, center, sums, parts):
    in_parallel(parts, _add_column_squares, (x, center, sums))


@kernel(fastmath=SUMS)
def _add_column_squares(part, parts, x, center, sums):
    # x: (samples, positions); center: (positions,); sums: (parts, positions), double
    first, last = share(len(x), part, parts)
    for start in range(0, x.shape[1], CHUNK):
        total, middle = sums[part, start : start + CHUNK], center[start : start + CHUNK]
        for row in range(first, last):
            source = x[row, start : start + CHUNK]
            for j in range(len(source)):
                total[j] += (source[j] - middle[j]) * (source[j] - middle[j])


@kernel()
def _scale_columns(x, center, factor, summand, y, parts):
    in_parallel(parts, _scale_rows, (x, center, factor, summand, y))


@kernel(fastmath=SUMS)
def _scale_rows(part, parts, x, center, factor, summand, y):
    # x, y: (samples, positions); center, factor, summand: (positions,)
    first, last = share(len(x), part, parts)
    for row in range(first, last):
        source, target = x[row], y[row]
        for j in range(len(source)):
            target[j] = (source[j] - center[j]) * factor[j] + summand[j]


@kernel()
def _column_gradient_sums(g, x, center, sums, parts):
    in_parallel(parts, _add_column_gradients, (g, x, center, sums))


@kernel(fastmath=SUMS)
def _add_column_gradients(part, parts, g, x, center, sums):
    # g, x: (samples, positions); center: (positions,); sums: (2, parts, positions), double
    first, last = share(len(x), part, parts)
    for start in range(0, x.shape[1], CHUNK):
        along, total = sums[0, part, start : start + CHUNK], sums[1, part, start : start + CHUNK]
        middle = center[start : start + CHUNK]
        for row in range(first, last):
            gradient, source = g[row, start : start + CHUNK], x[row, start : start + CHUNK]
            for j in range(len(source)):
                along[j] += gradient[j] * (source[j] - middle[j])
                total[j] += gradient[j]


@kernel()
def _column_gradients(g, x, center, factor, slope, shift, dx, parts):
    in_parallel(parts, _gradient_rows, (g, x, center, factor, slope, shift, dx))


@kernel(fastmath=SUMS)
def _gradient_rows(part, parts, g, x, center, factor, slope, shift, dx):
    # g, x, dx: (samples, positions); center, factor, slope, shift: (positions,)
    first, last = share(len(x), part, parts)
    for row in range(first, last):
        gradient, source, target = g[row], x[row], dx[row]
        for j in range(len(source)):
            target[j] = gradient[j] * factor[j] - shift[j] - (source[j] - center[j]) * slope[j]
