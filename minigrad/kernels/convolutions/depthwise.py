"""Depthwise convolution, where every channel has windows of its own, and its two gradients.

A matrix product would have but one row for each channel. So an image is copied into the layout of ``polyphase.py``, in
which an element of the window meets all windows in one run, and runs are added up while they are in the first-level
cache. For x (N, C, size), weight (O, window) and y (N, O, count), with O / C results of each channel,

    T(x, weight, y) = Σ y[n, o, q] · x[n, c, stride · q + dilation · k - padding] · weight[o, k]

and the three kernels are its derivatives with respect to y, x and weight.

Source: Sifre, "Rigid-Motion Scattering for Image Classification", 2014, section 6.2.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_shape
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.convolutions.polyphase import Geometry, layout
from minigrad.kernels.convolutions.runs import copy_run, lay_out, take_back

COPY = 4  # multiply-adds that copying an element costs about as much as
CHUNK = 2048  # elements of a run that stay in the first-level cache, with those that they meet


def depthwise_convolution(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, geometry: Geometry) -> np.ndarray:
    """Weighted sum of every window of every channel.

    Args:
        x: ``(N, C, *geometry.size)``, float32 or float64.
        weight: ``(O, *geometry.window)``, of the dtype of ``x``, O being a multiple of C.
        bias: (O,), of the dtype of ``x``, or None.
        geometry: the windows, at least one along each axis.

    Returns:
        y ``(N, O, *geometry.windows)``.

    Raises:
        TypeError: no float32 or float64, or mixed.
        ValueError: a shape does not fit.

    >>> x, weight = np.arange(8.0).reshape(1, 2, 4), np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> depthwise_convolution(x, weight, None, Geometry((4,), (2,), (1,), (1,), ((0, 0),)))
    array([[[ 0.,  1.,  2.],
            [ 9., 11., 13.]]])
    """
    check_floats(x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    check_shape("x", x, (*x.shape[:2], *geometry.size))
    check_shape("weight", weight, (len(weight), *geometry.window))
    if bias is not None:
        check_shape("bias", bias, weight.shape[:1])
    y = np.empty((len(x), len(weight), *geometry.windows), x.dtype)
    if y.size:
        summand = np.zeros(len(weight), x.dtype) if bias is None else np.ascontiguousarray(bias)
        views = _planes(x, weight, y, geometry)
        _convolution(*views, summand.reshape(x.shape[1], -1), layout(geometry), _threads(y, geometry))
    return y


def depthwise_convolution_transpose(y: np.ndarray, weight: np.ndarray, channels: int, geometry: Geometry) -> np.ndarray:
    """The gradient with respect to x: every element of ``y`` adds its weighted window.

    Args:
        y: ``(N, O, *geometry.windows)``.
        weight: ``(O, *geometry.window)``.
        channels: C, those of x.
        geometry: as for the forward pass.

    Returns:
        x ``(N, C, *geometry.size)``.
    """
    check_floats(y=y, weight=weight)
    check_shape("weight", weight, (len(weight), *geometry.window))
    check_shape("y", y, (len(y), len(weight), *geometry.windows))
    plan = layout(geometry)
    x = (np.zeros if plan.cut else np.empty)((len(y), channels, *geometry.size), y.dtype)
    if x.size:
        _transpose(*_planes(x, weight, y, geometry), plan, _threads(y, geometry))
    return x


def depthwise_convolution_weight(x: np.ndarray, y: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The gradient with respect to the weight.

    Args:
        x: ``(N, C, *geometry.size)``.
        y: ``(N, O, *geometry.windows)``.
        geometry: as for the forward pass.

    Returns:
        weight ``(O, *geometry.window)``.
    """
    check_floats(x=x, y=y)
    check_shape("x", x, (len(x), x.shape[1], *geometry.size))
    check_shape("y", y, (len(x), y.shape[1], *geometry.windows))
    weight = np.zeros((y.shape[1], *geometry.window), x.dtype)
    if y.size:
        _weight(*_planes(x, weight, y, geometry), layout(geometry), _threads(y, geometry))
    return weight


def _planes(x: np.ndarray, weight: np.ndarray, y: np.ndarray, geometry: Geometry) -> list[np.ndarray]:
    """x as (N, C, rows, columns), weight as (C, O / C, window), y as (N, C, O / C, rows, columns)."""
    images, channels = x.shape[:2]
    if weight.shape[0] % channels:
        raise ValueError(f"weight must have a multiple of {channels} results; got {len(weight)}")
    shapes = (
        (images, channels, -1, geometry.size[-1]),
        (channels, len(weight) // channels, math.prod(geometry.window)),
        (images, channels, len(weight) // channels, -1, geometry.windows[-1]),
    )
    return [np.ascontiguousarray(array).reshape(shape) for array, shape in zip((x, weight, y), shapes, strict=True)]


def _threads(y: np.ndarray, geometry: Geometry) -> int:
    return threads_for(y.size * (math.prod(geometry.window) + COPY))


@kernel()
def _convolution(x, weight, y, bias, layout, parts):
    in_parallel(parts, _convolve_planes, (x, weight, y, bias, layout))


@kernel(fastmath=SUMS)
def _convolve_planes(part, parts, x, weight, y, bias, layout):
    # x: (N, C, rows, columns); weight: (C, O / C, window); y: (N, C, O / C, rows, columns); bias: (C, O / C)
    image, sums = np.zeros(layout.places, x.dtype), np.empty(layout.run, x.dtype)
    images, channels, results = y.shape[:3]
    first, last = share(images * channels, part, parts)
    for plane in range(first, last):
        n, c = plane // channels, plane % channels
        lay_out(x[n, c], layout, image)
        for result in range(results):
            for start in range(0, len(sums), CHUNK):
                total = sums[start : start + CHUNK]
                total[:] = bias[c, result]
                _add_runs(image[start:], layout.taps, weight[c, result], total)
            target = y[n, c, result]
            for row in range(len(target)):
                copy_run(sums[layout.results[row] : layout.results[row] + target.shape[1]], target[row])


@kernel(fastmath=SUMS)
def _add_runs(image, taps, weight, total):
    # total += sum of weight[k] * image[taps[k] :], three of them at once
    whole = len(taps) // 3 * 3
    size = len(total)
    for k in range(0, whole, 3):
        first, second = image[taps[k] : taps[k] + size], image[taps[k + 1] : taps[k + 1] + size]
        third = image[taps[k + 2] : taps[k + 2] + size]
        a, b, c = weight[k], weight[k + 1], weight[k + 2]
        for i in range(size):
            total[i] += a * first[i] + b * second[i] + c * third[i]
    for k in range(whole, len(taps)):
        _add_scaled(weight[k], image[taps[k] : taps[k] + size], total)


@kernel(fastmath=SUMS)
def _add_scaled(factor, source, target):
    for i in range(len(source)):
        target[i] += factor * source[i]


@kernel(fastmath=SUMS)
def _as_run(source, results, run):
    # source: (rows, columns); run: zero between two rows
    for row in range(len(source)):
        copy_run(source[row], run[results[row] : results[row] + source.shape[1]])


@kernel()
def _transpose(x, weight, y, layout, parts):
    in_parallel(parts, _transpose_planes, (x, weight, y, layout))


@kernel(fastmath=SUMS)
def _transpose_planes(part, parts, x, weight, y, layout):
    # Arguments as for _convolve_planes; x is written to
    image, run = np.empty(layout.places, x.dtype), np.zeros(layout.run, x.dtype)
    images, channels, results = y.shape[:3]
    first, last = share(images * channels, part, parts)
    for plane in range(first, last):
        n, c = plane // channels, plane % channels
        image[:] = 0
        for result in range(results):
            _as_run(y[n, c, result], layout.results, run)
            for start in range(0, len(run), CHUNK):
                chunk = run[start : start + CHUNK]
                for k in range(len(layout.taps)):
                    place = layout.taps[k] + start
                    _add_scaled(weight[c, result, k], chunk, image[place : place + len(chunk)])
        take_back(image, layout, x[n, c])


@kernel()
def _weight(x, weight, y, layout, parts):
    in_parallel(parts, _weight_of_channels, (x, weight, y, layout))


@kernel(fastmath=SUMS)
def _weight_of_channels(part, parts, x, weight, y, layout):
    # Arguments as for _convolve_planes; weight is written to
    image, run = np.zeros(layout.places, x.dtype), np.zeros(layout.run, x.dtype)
    sums = np.empty(weight.shape[1:])  # in double precision
    images, channels, results = y.shape[:3]
    first, last = share(channels, part, parts)
    for c in range(first, last):
        sums[:] = 0
        for n in range(images):
            lay_out(x[n, c], layout, image)
            for result in range(results):
                _as_run(y[n, c, result], layout.results, run)
                for start in range(0, len(run), CHUNK):
                    chunk = run[start : start + CHUNK]
                    for k in range(len(layout.taps)):
                        place = layout.taps[k] + start
                        sums[result, k] += _dot(chunk, image[place : place + len(chunk)])
        for result in range(results):
            for k in range(len(layout.taps)):
                weight[c, result, k] = sums[result, k]


@kernel(fastmath=SUMS)
def _dot(a, b):
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total
