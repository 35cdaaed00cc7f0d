"""Padding, and windows written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.nn.functional.convolution import Sizes, for_each_axis
from minigrad.ops import pooling
from minigrad.ops.indexing import take
from minigrad.ops.operands import as_operand
from minigrad.ops.shape import reshape
from minigrad.ops.windows import Windows, extend

__all__ = [
    "fold",
    "pad",
    "unfold",
]


def _round(places: Array, size: int) -> Array:
    """The other end is that of the elements that are kept."""
    first, end = max(int(places[0]), 0), min(int(places[-1]) + 1, size)
    return first + (places - first) % (end - first)


# Which element of an axis is seen at each of some places, of which those outside [0, size) are the padding
_PLACES: dict[str, Callable[[Array, int], Array]] = {
    "reflect": lambda places, size: size - 1 - np.abs(size - 1 - np.abs(places)),
    "replicate": lambda places, size: np.clip(places, 0, size - 1),
    "circular": _round,
}


def pad(
    input: Any,
    pad: Sequence[int],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    value: float | None = None,
) -> Tensor:
    """Elements put before and after the last axes, or cut off where their number is negative.

    Args:
        input: of any shape.
        pad: (before, after) the last axis, then those of the axis before it, and so on, flat.
        mode: "constant"; "reflect" mirrors the array at its outermost elements, "replicate" repeats these, "circular"
            goes on at the other end.
        value: the constant; 0 when None.

    Raises:
        ValueError: ``pad`` does not fit the input, or the mode is unknown.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.pad(mg.tensor([1.0, 2.0, 3.0]), (1, 2), mode="reflect")
        tensor([2., 1., 2., 3., 2., 1.])
    """
    x = as_operand(input, "input")
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ValueError(f"pad: expected up to {x.ndim} pairs of integers for shape {x.shape}, got {tuple(pad)}")
    around = tuple((int(pad[i]), int(pad[i + 1])) for i in range(len(pad) - 2, -1, -2))
    sizes = x.shape[x.ndim - len(around) :]
    if any(size + before + after < 0 for size, (before, after) in zip(sizes, around, strict=True)):
        raise ValueError(f"pad: {tuple(pad)} cuts off more than there is of shape {x.shape}")
    if mode == "constant":
        return extend(x, around, 0.0 if value is None else value)
    if mode not in _PLACES:
        raise ValueError(f"mode: expected 'constant' or one of {', '.join(map(repr, _PLACES))}, got {mode!r}")
    if mode == "reflect" and any(max(pair) >= size for size, pair in zip(sizes, around, strict=True)):
        raise ValueError(f"pad: {tuple(pad)} reflects more elements than shape {x.shape} has besides its outermost")
    for axis, (size, (before, after)) in enumerate(zip(sizes, around, strict=True), x.ndim - len(around)):
        if before or after:
            x = take(x, _PLACES[mode](np.arange(-before, size + after), size), axis=axis)
    return x


def _grid(size: Shape, kernel_size: Sizes, dilation: Sizes, around: Sizes, stride: Sizes) -> Windows:
    windows = Windows(
        size,
        for_each_axis("kernel_size", kernel_size, 2, 1),
        for_each_axis("stride", stride, 2, 1),
        for_each_axis("dilation", dilation, 2, 1),
        tuple((p, p) for p in for_each_axis("padding", around, 2, 0)),
    )
    if any(count < 1 for count in windows.count):
        raise ValueError(f"kernel_size: windows of {windows.shape} do not fit into {size}, padded by {windows.padding}")
    return windows


def unfold(input: Any, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Tensor:
    """All windows of images as columns, "im2col": (N, C, H, W) to (N, C · window, count), or both without N.

    The other arguments are those of :func:`conv2d`.
    """
    x = as_operand(input, "input")
    if x.ndim not in (3, 4):
        raise ValueError(f"input: expected (N, C, H, W) or (C, H, W), got shape {x.shape}")
    windows = _grid(x.shape[-2:], kernel_size, dilation, padding, stride)
    columns = x.shape[-3] * math.prod(windows.shape)
    return reshape(pooling.unfold(x, windows), (*x.shape[:-3], columns, math.prod(windows.count)))


def fold(
    input: Any, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Columns of windows added up to images, "col2im": the transpose of :func:`unfold`.

    Args:
        input: (N, C · window, count) or (C · window, count).
        output_size: (H, W) of the result.
        kernel_size, dilation, padding, stride: those of :func:`conv2d`.

    Returns:
        (N, C, H, W), or without N.
    """
    x = as_operand(input, "input")
    windows = _grid(for_each_axis("output_size", output_size, 2, 1), kernel_size, dilation, padding, stride)
    window, count = math.prod(windows.shape), math.prod(windows.count)
    if x.ndim not in (2, 3) or x.shape[-1] != count or x.shape[-2] % window:
        raise ValueError(f"input: expected (N, C · {window}, {count}), got shape {x.shape}")
    columns = reshape(x, (*x.shape[:-2], x.shape[-2] // window, *windows.shape, *windows.count))
    return pooling.fold(columns, windows)
