"""Convolution by windows of one element (Lin, Chen and Yan, "Network In Network", 2013, arXiv:1312.4400).

An image is the operand of a matrix product as it lies, and nothing needs to be copied. Shapes: x (N, G, C, size) and
y (N, G, O, size) with one spatial axis, weight (G, O, C), bias (G, O).
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.linking import call_at
from minigrad.kernels.compiling.parallel import in_parallel, share
from minigrad.kernels.compiling.vector import address_of_array
from minigrad.kernels.products.blocking import THREAD_BUFFER, multiply_piece

COLUMNS = 256  # at a time


@kernel()
def multiply_strided(m, n, k, a, a_row, a_column, b, b_row, b_column, c, c_row, plus, part, product):
    """C (m, n) = A (m, k) @ B (k, n) + ``plus``, which is C's address or 0, in one thread; strides are of elements.

    ``product`` is (workspace, its ``piece_entry``).
    """
    buffer, piece = product
    item = buffer.itemsize
    packed = address_of_array(buffer) + part * THREAD_BUFFER * item
    strides = (a_row * item, a_column * item, b_row * item, b_column * item, c_row * item)
    call_at(piece, multiply_piece, (a, b, 0, c, (m, n, k), strides, plus, c_row * item, packed, buffer))


@kernel()
def convolve_points(x, weight, bias, y, product, parts):
    """y = weight @ x + bias for every image and group."""
    in_parallel(parts, _convolve_points, (x, weight, bias, y, product))


@kernel()
def _convolve_points(part, parts, x, weight, bias, y, product):
    images, groups, results, size = y.shape
    channels, blocks = x.shape[2], (size + COLUMNS - 1) // COLUMNS
    first, last = share(groups * images * blocks, part, parts)
    for index in range(first, last):
        group, n, left = index // (images * blocks), index // blocks % images, index % blocks * COLUMNS
        width = min(COLUMNS, size - left)
        for result in range(results):
            y[n, group, result, left : left + width] = bias[group, result]
        multiply_strided(
            results,
            width,
            channels,
            address_of_array(weight[group]),
            channels,
            1,
            address_of_array(x[n, group, :, left:]),
            size,
            1,
            address_of_array(y[n, group, :, left:]),
            size,
            address_of_array(y[n, group, :, left:]),
            part,
            product,
        )


@kernel()
def add_point_weights(x, y, sums, product, parts):
    """sums (parts, G, O, C) += y @ x transposed for every image and group, each part of the images for itself."""
    in_parallel(parts, _add_point_weights, (x, y, sums, product))


@kernel()
def _add_point_weights(part, parts, x, y, sums, product):
    images, groups, results, size = y.shape
    channels, blocks = x.shape[2], (size + COLUMNS - 1) // COLUMNS
    first, last = share(groups * images * blocks, part, parts)
    for index in range(first, last):
        group, n, left = index // (images * blocks), index // blocks % images, index % blocks * COLUMNS
        total = address_of_array(sums[part, group])
        multiply_strided(
            results,
            channels,
            min(COLUMNS, size - left),
            address_of_array(y[n, group, :, left:]),
            size,
            1,
            address_of_array(x[n, group, :, left:]),
            1,
            size,
            total,
            channels,
            total,
            part,
            product,
        )
