"""Products with quantised weights: one or two bytes are read of each, where few rows leave the arithmetic idle.

Weights are symmetric, with a scale for each row, w = scale · q (Jacob et al., "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference", 2018, section 2.1), and packed once, in the panels that the
register tile reads. Activations of the format "int8" are quantised row by row at run time, as unsigned bytes that are
128 too large, for so the CPU's instruction wants them; the sums begin with what that adds, -128 Σ q of each column.
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
from minigrad.kernels.products.packing import LANE_BYTES, tile_height
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
CACHE_LINE = 64


class QuantizedMatrix(NamedTuple):
    """Quantised weights (N, K), packed for this machine; made by ``quantize`` or ``pack_quantized``."""

    format: str
    shape: tuple[int, int]
    panels: np.ndarray  # (panels, steps, STRIP, group): int8, or bfloat16 as the uint16 of its bits
    scales: np.ndarray  # (N,), empty for bfloat16
    offsets: np.ndarray  # (N,) int32, -128 times the sum of each row's integers; empty but for int8

    def unpacked(self) -> np.ndarray:
        """(N, K): int8, or bfloat16 as the uint16 of its bits."""
        n, k = self.shape
        panels, steps, strip, group = self.panels.shape
        return self.panels.transpose(0, 2, 1, 3).reshape(panels * strip, steps * group)[:n, :k].copy()

    def dequantized(self) -> np.ndarray:
        """(N, K) float32, the weights that products are with."""
        values = self.unpacked()
        if self.format == "bfloat16":
            return from_bfloat16(values)
        return values * self.scales[:, None]


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
        return pack_quantized(to_bfloat16(weight), None, format)
    largest = abs(weight).max(axis=1, initial=0)
    scales = np.where(largest > np.finfo(np.float32).tiny * 127, largest / np.float32(127), np.float32(1))
    return pack_quantized(np.rint(weight / scales[:, None]).astype(np.int8), scales, format)


def pack_quantized(values: np.ndarray, scales: np.ndarray | None, format: str) -> QuantizedMatrix:
    """Pack quantised weights (N, K), int8 with scales (N,) or bfloat16 as the uint16 of its bits.

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
    group = LANE_BYTES // values.itemsize
    padded = np.zeros((-(-n // STRIP) * STRIP, -(-k // group) * group), dtype)
    padded[:n, :k] = values
    panels = padded.reshape(len(padded) // STRIP, STRIP, padded.shape[1] // group, group).transpose(0, 2, 1, 3)
    offsets = values.sum(axis=1, dtype=np.int32) * np.int32(-128) if format == "int8" else _NO_OFFSETS
    if scales is None:
        scales = _NOTHING
    else:
        check_shape("scales", scales, (n,))
    return QuantizedMatrix(format, (n, k), np.ascontiguousarray(panels), scales.astype(np.float32), offsets)


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
    (n, k), steps, group = weight.shape, weight.panels.shape[1], weight.panels.shape[3]
    if x.ndim == 0 or x.shape[-1] != k:
        raise ValueError(f"x must have {k} columns; got shape {x.shape}")
    if bias is not None:
        check_shape("bias", bias, (n,))
        bias = np.ascontiguousarray(bias)
    c = np.empty((*x.shape[:-1], n), np.float32)
    m = c.size // n if n else 0
    if m == 0:
        return c
    rows = np.ascontiguousarray(x.reshape(m, k))
    formats = _formats(weight.format)
    if formats[0].itemsize == 1:
        # No power of two, at which rows would share a set of the first-level cache.
        a = np.empty((m, (steps * LANE_BYTES // CACHE_LINE | 1) * CACHE_LINE + CACHE_LINE), np.uint8)
        row_scales = np.empty(m, np.float32)
    else:
        a, row_scales = rows, _NOTHING
        if k % group:
            a = np.zeros((m, steps * group), np.float32)
            a[:, :k] = rows
    parts = threads_for(max(m, READING) * n * k)
    given = rows, a, weight.panels, c.reshape(m, n)
    multiply(given, (weight.offsets, row_scales, weight.scales, _NOTHING if bias is None else bias), formats, parts)
    return c


_NOTHING, _NO_OFFSETS = np.empty(0, np.float32), np.empty(0, np.int32)


@cache
def _formats(format: str) -> tuple[np.ndarray, np.ndarray]:
    """Arrays that say what packed activations and weights are."""
    a, b = FORMATS[format]
    return np.empty(0, a), np.empty(0, b)


def _checked(format: str) -> str:
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}")
    return format


@kernel()
def multiply(given, additions, formats, parts):
    rows, a, _, _ = given
    if formats[0].itemsize == 1:
        in_parallel(min(parts, len(rows)), _quantize_part, (rows, a, additions[1]))
    in_parallel(parts, _multiply_part, (given, additions, formats))


@kernel()
def _quantize_part(part, parts, rows, quantized, scales):
    """One thread's rows as bytes, 128 for zero, and their scales."""
    k = rows.shape[1]
    first, last = share(len(rows), part, parts)
    for i in range(first, last):
        row, target = rows[i], quantized[i]
        # Floats without their signs are ordered as integers are, NaN above infinity.
        bits = array_at(address_of_array(row), k, np.int32)
        largest = np.int32(0)
        for j in range(k):
            largest = max(largest, bits[j] & np.int32(0x7FFFFFFF))
        scales[i] = np.int32(largest).view(np.float32) / np.float32(127)
        inverse = np.float32(1) / scales[i] if largest > 0x02000000 else np.float32(0)  # at least 2**-123
        for j in range(k):
            target[j] = np.uint8(np.int32(row[j] * inverse + np.float32(128.5)))


@kernel()
def _multiply_part(part, parts, given, additions, formats):
    """One thread's piece of C."""
    _, a, panels, c = given
    offsets, row_scales, scales, bias = additions
    m, n = c.shape
    steps, item = panels.shape[1], LANE_BYTES
    high = pieces_of_rows(parts, m, n, STRIP)
    wide = parts // high
    top, bottom = bounds(m, TILE_ROWS, part // wide, high)
    left, right = bounds(n, STRIP, part % wide, wide)
    a_row, c_row = a.shape[1] * a.itemsize, n * item
    a_step = formats[0].itemsize * (LANE_BYTES // formats[1].itemsize)
    plus = 0
    if len(offsets):
        plus = address_of_array(offsets)
    elif len(bias) and not len(scales):
        plus = address_of_array(bias)
    for start in range(top, bottom, MC):
        end = min(bottom, start + MC)
        for column in range(left, right, STRIP):
            width = min(STRIP, n - column)
            panel = address_of_array(panels) + column * steps * item
            row = start
            while row < end:
                height = tile_height(end - row)
                a_at, c_at = address_of_array(a) + row * a_row, address_of_array(c) + row * c_row + column * item
                multiply_tile(
                    height,
                    width,
                    steps,
                    a_at,
                    a_row,
                    a_step,
                    panel,
                    STRIP * item,
                    c_at,
                    c_row,
                    plus + column * item if plus else 0,
                    0,
                    formats,
                )
                row += height
    if len(scales):
        for row in range(top, bottom):
            _rescale(c[row, left:right], scales[left:right], row, row_scales, bias[left:right])


@kernel()
def _rescale(c, scales, row, row_scales, bias):
    """Sums, of integers if the rows have scales, as floats with the scales and the bias."""
    if len(row_scales):
        sums, scale = array_at(address_of_array(c), len(c), np.int32), row_scales[row]
        for j in range(len(c)):
            c[j] = np.float32(sums[j]) * (scale * scales[j])
    else:
        for j in range(len(c)):
            c[j] *= scales[j]
    if len(bias):
        for j in range(len(c)):
            c[j] += bias[j]
