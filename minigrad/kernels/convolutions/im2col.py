"""Convolution by matrix products, and its two gradients.

Elements of windows are copied under each other ("im2col"), from the layout of ``polyphase.py``, where they are runs.
Each thread does so for some rows of results at a time, few enough that the copy stays in its second-level cache, and
multiplies it there. For x (N, G · C, size), weight (G · O, C, window) and y (N, G · O, count), with groups g,

    T(x, weight, y) = Σ y[n, g, o, q] · x[n, g, c, stride · q + dilation · k - padding] · weight[g, o, c, k]

and the three kernels are its derivatives with respect to y, x and weight.

Source: Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import address_of_array
from minigrad.kernels.convolutions.pointwise import add_point_weights, convolve_points, multiply_strided
from minigrad.kernels.convolutions.polyphase import Geometry, layout
from minigrad.kernels.convolutions.runs import copy_run, lay_out, move, take_back
from minigrad.kernels.products.blocking import piece_entry, workspace

# Elements that are lowered at a time stay in the second-level cache. Fewer columns than COLUMNS would read the weights
# too often. So many weights stay in that cache while images pass.
LOWERED = 1 << 17
COLUMNS = 128
WEIGHTS = 1 << 16
LINE = 16  # elements between two rows of a copy, lest a power of two puts them all into one set of the cache


def convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, groups: int, geometry: Geometry
) -> np.ndarray:
    """Weighted sum of every window.

    Args:
        x: ``(N, G · C, *geometry.size)``, float32 or float64.
        weight: ``(G · O, C, *geometry.window)``, of the dtype of ``x``.
        bias: (G · O,), of the dtype of ``x``, or None.
        groups: G, the number of parts of channels and results, each of which sees only its own.
        geometry: the windows, at least one along each axis.

    Returns:
        y ``(N, G · O, *geometry.windows)``.

    Raises:
        TypeError: no float32 or float64, or mixed.
        ValueError: a shape does not fit.

    >>> x, weight = np.arange(8.0).reshape(1, 2, 4), np.array([[[1.0, 0.0], [1.0, 1.0]]])
    >>> convolution(x, weight, None, 1, Geometry((4,), (2,), (1,), (1,), ((0, 0),)))
    array([[[ 9., 12., 15.]]])
    """
    check_floats(x=x, weight=weight, **({} if bias is None else {"bias": bias}))
    if bias is not None:
        check_shape("bias", bias, weight.shape[:1])
    y = np.empty((len(x), len(weight), *geometry.windows), x.dtype)
    summand = np.zeros(len(weight), x.dtype) if bias is None else np.ascontiguousarray(bias)
    views = _views(x, weight, y, groups, geometry)
    if geometry.pointwise and y.size and weight.size:
        x, weight, points = _points(*views)
        convolve_points(x, weight, summand.reshape(groups, -1), points, _product(x), _threads(y, weight))
    elif y.size and weight.size:
        step = _rows_at_a_time(weight[0].size, geometry)
        _convolution(*views, summand.reshape(groups, -1), layout(geometry), step, _product(x), _threads(y, weight))
    else:
        y[...] = summand.reshape(-1, *(1,) * len(geometry.size))
    return y


def convolution_transpose(y: np.ndarray, weight: np.ndarray, groups: int, geometry: Geometry) -> np.ndarray:
    """The gradient with respect to x: every element of ``y`` adds its weighted window.

    Args:
        y: ``(N, G · O, *geometry.windows)``.
        weight: ``(G · O, C, *geometry.window)``.
        groups: as for the forward pass.
        geometry: as for the forward pass.

    Returns:
        x ``(N, G · C, *geometry.size)``.
    """
    check_floats(y=y, weight=weight)
    plan = layout(geometry)
    x = (np.zeros if plan.cut else np.empty)((len(y), groups * weight.shape[1], *geometry.size), y.dtype)
    views = _views(x, weight, y, groups, geometry)
    if geometry.pointwise and x.size and weight.size:
        points, turned, y = _points(*views)
        turned = np.ascontiguousarray(turned.swapaxes(1, 2))
        convolve_points(y, turned, np.zeros(turned.shape[:2], y.dtype), points, _product(y), _threads(x, turned))
    elif x.size and weight.size:
        taps, results = math.prod(geometry.window), len(weight) // groups
        parts, channels = _threads(y, weight), weight.shape[1]
        pieces = -(-parts // (len(y) * groups))  # of an image's channels, so that every thread has some
        block = min(max(WEIGHTS // (taps * results), 1), -(-channels // pieces))
        step = _rows_at_a_time(taps * block, geometry)
        _transpose(*views, plan, block, step, _product(y), parts)
    else:
        x[...] = 0
    return x


def convolution_weight(x: np.ndarray, y: np.ndarray, groups: int, geometry: Geometry) -> np.ndarray:
    """The gradient with respect to the weight.

    Args:
        x: ``(N, G · C, *geometry.size)``.
        y: ``(N, G · O, *geometry.windows)``.
        groups: as for the forward pass.
        geometry: as for the forward pass.

    Returns:
        weight ``(G · O, C, *geometry.window)``.
    """
    check_floats(x=x, y=y)
    weight = np.empty((y.shape[1], x.shape[1] // groups, *geometry.window), x.dtype)
    parts = _threads(y, weight)
    x, flat, y = _views(x, weight, y, groups, geometry)
    if geometry.pointwise and y.size and weight.size:
        sums = np.zeros((parts, *flat.shape), x.dtype)  # each part's own
        x, _, y = _points(x, flat, y)
        add_point_weights(x, y, sums, _product(x), parts)
    else:
        turned = np.zeros((parts, groups, flat.shape[2], flat.shape[1]), x.dtype)
        if y.size and weight.size:
            step = _rows_at_a_time(weight[0].size, geometry)
            _weight(x, turned, y, layout(geometry), step, _product(x), parts)
        sums = turned.swapaxes(2, 3)
    return np.add.reduce(sums, axis=0, out=flat).reshape(weight.shape)


def _views(x: np.ndarray, weight: np.ndarray, y: np.ndarray, groups: int, geometry: Geometry) -> list[np.ndarray]:
    """x as (N, G, C, rows, columns), weight as (G, O, C · window), y as (N, G, O, rows, columns)."""
    images, channels, results = len(x), x.shape[1] // max(groups, 1), len(weight) // max(groups, 1)
    check_shape("x", x, (images, groups * channels, *geometry.size))
    check_shape("weight", weight, (groups * results, channels, *geometry.window))
    check_shape("y", y, (images, groups * results, *geometry.windows))
    shapes = (
        (images, groups, channels, math.prod(geometry.size[:-1]), geometry.size[-1]),
        (groups, results, channels * math.prod(geometry.window)),
        (images, groups, results, math.prod(geometry.windows[:-1]), geometry.windows[-1]),
    )
    return [np.ascontiguousarray(array).reshape(shape) for array, shape in zip((x, weight, y), shapes, strict=True)]


def _points(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Views with rows and columns as one axis."""
    return [x.reshape(*x.shape[:3], -1), weight, y.reshape(*y.shape[:3], -1)]


def _rows_at_a_time(depth: int, geometry: Geometry) -> int:
    """The number of rows of results for which windows of so many elements are lowered at a time."""
    return max(max(LOWERED // depth, COLUMNS) // geometry.windows[-1], 1)


def _product(x: np.ndarray) -> tuple[np.ndarray, int]:
    """Workspace and entry of the matrix product."""
    return workspace(x.dtype), piece_entry(x.dtype)


def _threads(y: np.ndarray, weight: np.ndarray) -> int:
    return threads_for(y.size * (weight.size // max(len(weight), 1)))


@kernel()
def _lower(image, layout, first, rows, columns, target):
    """Fill ``target`` (channels · window, rows · columns) with what the windows of these rows of results see."""
    taps, item = len(layout.taps), image.itemsize
    for channel in range(len(image)):
        for tap in range(taps):
            source = address_of_array(image[channel]) + (layout.taps[tap] + layout.results[first]) * item
            line = address_of_array(target[channel * taps + tap])
            for row in range(rows):
                place = layout.results[first + row] - layout.results[first]
                move(columns, source + place * item, line + row * columns * item, False, image)


@kernel()
def _add_lowered(lowered, layout, first, rows, columns, image):
    """The transpose of ``_lower``."""
    taps, item = len(layout.taps), image.itemsize
    for channel in range(len(image)):
        for tap in range(taps):
            target = address_of_array(image[channel]) + (layout.taps[tap] + layout.results[first]) * item
            line = address_of_array(lowered[channel * taps + tap])
            for row in range(rows):
                place = layout.results[first + row] - layout.results[first]
                move(columns, line + row * columns * item, target + place * item, True, image)


@kernel()
def _convolution(x, weight, y, bias, layout, step, product, parts):
    in_parallel(parts, _convolve_rows, (x, weight, y, bias, layout, step, product))


@kernel()
def _convolve_rows(part, parts, x, weight, y, bias, layout, step, product):
    # x: (N, G, C, rows, columns); weight: (G, O, C * window); y: (N, G, O, rows, columns); bias: (G, O)
    images, groups, channels = x.shape[:3]
    results, height, columns = y.shape[2:]
    depth, pitch = weight.shape[2], step * columns + LINE
    image, laid_out = np.zeros((channels, layout.places), x.dtype), -1
    lowered, sums = np.empty((depth, pitch), x.dtype), np.empty((results, pitch), x.dtype)
    at, last = share(groups * images * height, part, parts)
    while at < last:
        group = at // (images * height)
        stop = min(at + step, last, (group + 1) * images * height)
        laid_out = _lower_rows(x[:, group], layout, at, stop, height, columns, image, laid_out, lowered)
        multiply_strided(
            results,
            (stop - at) * columns,
            depth,
            address_of_array(weight[group]),
            depth,
            1,
            address_of_array(lowered),
            pitch,
            1,
            address_of_array(sums),
            pitch,
            0,
            part,
            product,
        )
        row = at
        while row < stop:
            rows = min(stop, (row // height + 1) * height) - row
            for result in range(results):
                source = sums[result, (row - at) * columns : (row - at + rows) * columns]
                image_of_y = y[row // height % images, group, result].reshape(-1)
                target = image_of_y[row % height * columns : (row % height + rows) * columns]
                for i in range(len(target)):
                    target[i] = source[i] + bias[group, result]
            row += rows
        at = stop


@kernel()
def _lower_rows(x, layout, first, last, height, columns, image, laid_out, lowered):
    """Lower rows of results, which may be of several images; returns the image that is laid out afterwards."""
    row = first
    while row < last:
        index = row // height
        if index != laid_out:
            for channel in range(x.shape[1]):
                lay_out(x[index % len(x), channel], layout, image[channel])
            laid_out = index
        rows = min(last, (index + 1) * height) - row
        _lower(image, layout, row % height, rows, columns, lowered[:, (row - first) * columns :])
        row += rows
    return laid_out


@kernel()
def _weight(x, sums, y, layout, step, product, parts):
    in_parallel(parts, _weight_of_rows, (x, sums, y, layout, step, product))


@kernel()
def _weight_of_rows(part, parts, x, sums, y, layout, step, product):
    # Arguments as for _convolve_rows; sums: (parts, G, C * window, O)
    images, groups, channels = x.shape[:3]
    results, height, columns = y.shape[2:]
    depth, pitch = sums.shape[2], step * columns + LINE
    image, laid_out = np.zeros((channels, layout.places), x.dtype), -1
    lowered, gradient = np.empty((depth, pitch), x.dtype), np.empty((results, pitch), x.dtype)
    at, last = share(groups * images * height, part, parts)
    while at < last:
        group = at // (images * height)
        stop = min(at + step, last, (group + 1) * images * height)
        laid_out = _lower_rows(x[:, group], layout, at, stop, height, columns, image, laid_out, lowered)
        row = at
        while row < stop:
            rows = min(stop, (row // height + 1) * height) - row
            for result in range(results):
                image_of_y = y[row // height % images, group, result].reshape(-1)
                source = image_of_y[row % height * columns : (row % height + rows) * columns]
                copy_run(source, gradient[result, (row - at) * columns : (row - at + rows) * columns])
            row += rows
        total = address_of_array(sums[part, group])
        multiply_strided(
            depth,
            results,
            (stop - at) * columns,
            address_of_array(lowered),
            pitch,
            1,
            address_of_array(gradient),
            1,
            pitch,
            total,
            results,
            total,
            part,
            product,
        )
        at = stop


@kernel()
def _transpose(x, weight, y, layout, block, step, product, parts):
    in_parallel(parts, _transpose_channels, (x, weight, y, layout, block, step, product))


@kernel()
def _transpose_channels(part, parts, x, weight, y, layout, block, step, product):
    # Arguments as for _convolve_rows; x is written to, ``block`` channels at a time
    images, groups, channels = x.shape[:3]
    results, height, columns = y.shape[2:]
    taps, pitch = len(layout.taps), step * columns + LINE
    image, lowered = np.empty((block, layout.places), x.dtype), np.empty((block * taps, pitch), x.dtype)
    blocks = (channels + block - 1) // block
    first, last = share(groups * blocks * images, part, parts)
    for index in range(first, last):
        n, group, left = index % images, index // images // blocks, index // images % blocks * block
        count = min(block, channels - left)
        image[:] = 0
        for top in range(0, height, step):
            rows = min(step, height - top)
            multiply_strided(
                count * taps,
                rows * columns,
                results,
                address_of_array(weight[group, :, left * taps :]),
                1,
                channels * taps,
                address_of_array(y[n, group, :, top]),
                height * columns,
                1,
                address_of_array(lowered),
                pitch,
                0,
                part,
                product,
            )
            _add_lowered(lowered, layout, top, rows, columns, image[:count])
        for channel in range(count):
            take_back(image[channel], layout, x[n, group, left + channel])
