"""Products with quantised weights: one or two bytes are read of each, where few rows leave the arithmetic idle.

Weights are symmetric, with a scale for each row, w = scale · q (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", 2018, section 2.1). Few rows of activations read them where
they stand (``few_rows.py``); for more, each panel that the register tile reads is packed when it is due.
Activations of the format "int8" are quantised row by row at run time, as unsigned bytes that are 128 too large, for so
the CPU's instruction wants them; what that adds, 128 Σ q of each column, is subtracted.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.compiling.arguments import check_arrays, check_floats, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.compiling.vector import MACHINE, address_of_array, array_at
from minigrad.kernels.elementwise.bfloat16 import from_bfloat16, to_bfloat16
from minigrad.kernels.products.blocking import MC, bounds, pieces_of_rows
from minigrad.kernels.products.few_rows import call_rows, rows_entry
from minigrad.kernels.products.packing import LANE_BYTES, pack_b, tile_height
from minigrad.kernels.products.register_tile import TILE_ROWS, TILE_VECTORS, multiply_tile

# The dtypes of packed activations and weights.
FORMATS: dict[str, tuple[Any, Any]] = {
    "int8": (np.uint8, np.int8),
    "int8-weights": (np.float32, np.int8),
    "bfloat16": (np.float32, np.uint16),
}
LANES = MACHINE.register_bytes // LANE_BYTES
STRIP = TILE_VECTORS * LANES  # the width of a panel
LONGEST_SUM = 1 << 16  # of products of uint8 and int8 that int32 holds
# A row of weights that is read costs as much as multiplying so many rows by it.
READING = 4
FEW = 16  # rows of activations for which packing weights costs more than it gains
CACHE_LINE = 64


class QuantizedMatrix(NamedTuple):
    """Quantised weights (N, K), made by ``quantize`` or ``quantized_matrix``."""

    format: str
    values: np.ndarray  # (N, K): int8, or bfloat16 as the uint16 of its bits
    scales: np.ndarray  # (N,), empty for bfloat16
    offsets: np.ndarray  # (N,) int32, -128 times the sum of each row's integers; empty but for int8

    def dequantized(self) -> np.ndarray:
        """(N, K) float32, the weights that products are with."""
        if self.format == "bfloat16":
            return from_bfloat16(self.values)
        return self.values * self.scales[:, None]


def quantize(weight: np.ndarray, format: str) -> QuantizedMatrix:
    """Quantise a matrix of weights.

    Args:
        weight: (N, K), float32, finite.
        format: "int8": activations are quantised at run time, too. "int8-weights": they stay float32. "bfloat16":
            weights to the nearest bfloat16, activations stay float32.

    Raises:
        TypeError: the weights are not float32.
        ValueError: they are not finite or no matrix, or there is no such format.

    >>> quantize(np.array([[1, 0.5], [0, -2]], np.float32), "int8").dequantized().round(2)
    array([[ 1. ,  0.5],
           [ 0. , -2. ]], dtype=float32)
    """
    check_floats(weight=weight)
    if weight.dtype != np.float32:
        raise TypeError(f"weight must be a float32 array; got {weight.dtype}")
    if weight.ndim != 2 or not np.isfinite(weight).all():
        raise ValueError(f"weight must be a finite matrix; got shape {weight.shape}")
    if _checked(format) == "bfloat16":
        return quantized_matrix(to_bfloat16(weight), None, format)
    largest = abs(weight).max(axis=1, initial=0)
    scales = np.where(largest > np.finfo(np.float32).tiny * 127, largest / np.float32(127), np.float32(1))
    return quantized_matrix(np.rint(weight / scales[:, None]).astype(np.int8), scales, format)


def quantized_matrix(values: np.ndarray, scales: np.ndarray | None, format: str) -> QuantizedMatrix:
    """Quantised weights (N, K), int8 with scales (N,) or bfloat16 as the uint16 of its bits, which are not copied.

    Raises:
        TypeError: the values' dtype is not the format's.
        ValueError: scales are missing or too many, or there is no such format.
    """
    check_arrays(values=values)
    dtype = FORMATS[_checked(format)][1]
    if values.dtype != dtype:
        raise TypeError(f"values must be {np.dtype(dtype)} for {format!r}; got {values.dtype}")
    if (scales is None) != (format == "bfloat16"):
        raise ValueError(f"scales must be {'None' if scales is not None else 'an array'} for {format!r}")
    n, k = values.shape
    if format == "int8" and k > LONGEST_SUM:
        raise ValueError(f"values must have at most {LONGEST_SUM} columns for 'int8'; got {k}")
    offsets = values.sum(axis=1, dtype=np.int32) * np.int32(-128) if format == "int8" else _NO_OFFSETS
    if scales is None:
        scales = _NOTHING
    else:
        check_shape("scales", scales, (n,))
    scales = np.ascontiguousarray(scales, np.float32)
    return QuantizedMatrix(format, np.ascontiguousarray(values), scales, offsets)


def quantized_matmul(x: np.ndarray, weight: QuantizedMatrix, bias: np.ndarray | None = None) -> np.ndarray:
    """``x @ weight.T + bias`` with quantised weights.

    Args:
        x: (..., K), float32. For "int8" each row is quantised: its largest absolute value becomes 127; a row with NaN
            or an infinity gives NaN.
        weight: (N, K).
        bias: (N,), float32.

    Returns:
        (..., N), float32. For "int8" products and their sums are exact integers.

    Raises:
        TypeError: ``x`` or ``bias`` is not float32.
        ValueError: the shapes do not fit together.

    >>> weight = quantize(np.array([[1, 0.5], [0, -2]], np.float32), "bfloat16")
    >>> quantized_matmul(np.ones((1, 2), np.float32), weight)
    array([[ 1.5, -2. ]], dtype=float32)
    """
    for name, array in (("x", x), ("bias", x if bias is None else bias)):
        if type(array) is not np.ndarray or array.dtype != np.float32:
            raise TypeError(f"{name} must be a float32 array; got {getattr(array, 'dtype', type(array).__name__)}")
    n, k = weight.values.shape
    if x.ndim == 0 or x.shape[-1] != k:
        raise ValueError(f"x must have {k} columns; got shape {x.shape}")
    if bias is not None:
        check_shape("bias", bias, (n,))
        bias = np.ascontiguousarray(bias)
    c = np.empty((*x.shape[:-1], n), np.float32)
    m = c.size // n if n else 0
    if m == 0:
        return c
    rows, like = np.ascontiguousarray(x.reshape(m, k)), _likes(weight.format)[0]
    group = LANE_BYTES // weight.values.itemsize
    if like.itemsize == 1:
        # No power of two, at which rows would share a set of the first-level cache.
        a, row_scales = np.zeros((m, (-(-k // CACHE_LINE) | 1) * CACHE_LINE), np.uint8), np.empty(m, np.float32)
    else:
        a, row_scales = rows, _NOTHING
        if k % group and m > FEW:
            a = np.zeros((m, -(-k // group) * group), np.float32)
            a[:, :k] = rows
    parts = threads_for(max(m, READING) * n * k)
    packed = np.empty((parts, STRIP * -(-k // group) * LANE_BYTES if m > FEW else 0), np.uint8)
    given = rows, a, weight.values, c.reshape(m, n)
    additions = weight.offsets, row_scales, weight.scales, _NOTHING if bias is None else bias
    likes = _likes(weight.format)
    entry = rows_entry(*(like.dtype for like in likes)) if m <= FEW else 0
    multiply(given, additions, packed, likes, entry, parts)
    return c


_NOTHING, _NO_OFFSETS = np.empty(0, np.float32), np.empty(0, np.int32)


@cache
def _likes(format: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays that say what activations, weights and their sums are."""
    a, b = FORMATS[format]
    return np.empty(0, a), np.empty(0, b), np.empty(0, np.int32 if format == "int8" else np.float32)


def _checked(format: str) -> str:
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}")
    return format


@kernel()
def multiply(given, additions, packed, likes, entry, parts):
    rows, a, _, _ = given
    if likes[0].itemsize == 1:
        in_parallel(min(parts, len(rows)), _quantize_part, (rows, a, additions[1]))
    in_parallel(parts, _multiply_part, (given, additions, packed, likes, entry))


@kernel()
def _quantize_part(part, parts, rows, quantized, scales):
    first, last = share(len(rows), part, parts)
    for i in range(first, last):
        scales[i] = quantize_row(rows[i], quantized[i])


@kernel()
def quantize_row(row, target):
    """A row as bytes, 128 for zero; returns their scale."""
    k = len(row)
    # Floats without their signs are ordered as integers are, NaN above infinity.
    bits = array_at(address_of_array(row), k, np.int32)
    largest = np.int32(0)
    for j in range(k):
        largest = max(largest, bits[j] & np.int32(0x7FFFFFFF))
    scale = np.int32(largest).view(np.float32) / np.float32(127)
    inverse = np.float32(1) / scale if largest > 0x02000000 else np.float32(0)  # at least 2**-123
    for j in range(k):
        target[j] = np.uint8(np.int32(row[j] * inverse + np.float32(128.5)))
    return scale


@kernel()
def _multiply_part(part, parts, given, additions, packed, likes, entry):
    """One thread's piece of C."""
    _, a, values, c = given
    offsets, row_scales, scales, bias = additions
    (m, n), k = c.shape, values.shape[1]
    top, bottom, left, right = 0, m, 0, n
    if m <= FEW:
        left, right = share(n, part, parts)
        at, to = address_of_array(values) + left * k * values.itemsize, address_of_array(c) + left * c.itemsize
        steps = a.shape[1] * a.itemsize, k * values.itemsize, n * c.itemsize
        call_rows(entry, m, right - left, k, address_of_array(a), steps[0], at, steps[1], to, steps[2], likes)
    else:
        high = pieces_of_rows(parts, m, n, STRIP)
        wide = parts // high
        top, bottom = bounds(m, TILE_ROWS, part // wide, high)
        left, right = bounds(n, STRIP, part % wide, wide)
        _multiply_panels(a, values, c, (top, bottom, left, right), address_of_array(packed[part]), likes)
    for row in range(top, bottom):
        finish_row(c[row, left:right], offsets[left:right], row_scales[row:], scales[left:right], bias[left:right])


@kernel()
def _multiply_panels(a, values, c, piece, packed, likes):
    """A piece of C by register tiles; at ``packed`` there is room for a panel."""
    top, bottom, left, right = piece
    n, k, item = c.shape[1], values.shape[1], LANE_BYTES
    group = item // values.itemsize
    steps = (k + group - 1) // group
    a_row, c_row, w_row = a.shape[1] * a.itemsize, n * item, k * values.itemsize
    a_step = a.itemsize * group
    for start in range(top, bottom, MC):
        end = min(bottom, start + MC)
        for column in range(left, right, STRIP):
            width = min(STRIP, n - column)
            # The groups of a row are moved as they are, as if they were floats.
            pack_b(width, k // group, address_of_array(values) + column * w_row, w_row, item, packed, c)
            if k % group:
                _pack_rest(width, values[column:], packed + (steps - 1) * STRIP * item)
            row = start
            while row < end:
                height = tile_height(end - row)
                a_at, c_at = address_of_array(a) + row * a_row, address_of_array(c) + row * c_row + column * item
                tile = a_at, a_row, a_step, packed, STRIP * item, c_at, c_row
                multiply_tile(height, width, steps, *tile, 0, 0, likes[:2])
                row += height


@kernel()
def _pack_rest(width, values, packed):
    """The last group of each row, filled up with zeros."""
    k, group = values.shape[1], LANE_BYTES // values.itemsize
    target = array_at(packed, width * group, values)
    for lane in range(width):
        for i in range(group):
            at = k // group * group + i
            target[lane * group + i] = values[lane, at] if at < k else 0


@kernel()
def finish_row(c, offsets, row_scale, scales, bias):
    """Sums as floats with the scales and the bias, in place: sums of integers where there are offsets."""
    n = len(c)
    if len(offsets):
        sums, scale = array_at(address_of_array(c), n, np.int32), row_scale[0]
        for j in range(n):
            c[j] = np.float32(sums[j] + offsets[j]) * (scale * scales[j])
    elif len(scales):
        for j in range(n):
            c[j] *= scales[j]
    if len(bias):
        for j in range(n):
            c[j] += bias[j]
