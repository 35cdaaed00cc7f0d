"""Padding, and the windows of images as columns and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.nn.functional.windows import Padding, Sizes, Windows, for_each_axis, negated, padded
from minigrad.ops.batching import aligned
from minigrad.ops.indexing import take
from minigrad.ops.operands import as_operand
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import reshape

__all__ = [
    "fold",
    "pad",
    "unfold",
]


def _circular(places: Array, size: int) -> Array:
    """Places beyond an end as those from the other end of the elements that are kept."""
    first, end = max(int(places[0]), 0), min(int(places[-1]) + 1, size)
    return first + (places - first) % (end - first)


# The element of an axis that each place shows; places outside [0, size) are the padding.
_PLACES: dict[str, Callable[[Array, int], Array]] = {
    "reflect": lambda places, size: size - 1 - np.abs(size - 1 - np.abs(places)),
    "replicate": lambda places, size: np.clip(places, 0, size - 1),
    "circular": _circular,
}


@primitive(batching=aligned)
def _extend(x: Array, /, padding: Padding, value: float = 0.0) -> Array:
    """Constant padding: the last axes extended by (before, after) elements, or cut where these are negative."""
    out = padded(x, padding, value)
    return x.copy() if out is x else out


_extend.name = "extend"
_extend.vjp(x=lambda g, padding: _extend(g, negated(padding)))


def pad(
    input: Any,
    pad: Sequence[int],
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant",
    value: float | None = None,
) -> Tensor:
    """Padding: elements put before and after the last axes, or cut off where their number is negative.

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
        return _extend(x, around, 0.0 if value is None else value)
    if mode not in _PLACES:
        raise ValueError(f"mode: expected 'constant' or one of {', '.join(map(repr, _PLACES))}, got {mode!r}")
    if mode == "reflect" and any(max(pair) >= size for size, pair in zip(sizes, around, strict=True)):
        raise ValueError(f"pad: {tuple(pad)} reflects more elements than shape {x.shape} has besides its outermost")
    for axis, (size, (before, after)) in enumerate(zip(sizes, around, strict=True), x.ndim - len(around)):
        if before or after:
            x = take(x, _PLACES[mode](np.arange(-before, size + after), size), axis=axis)
    return x


# Whole windows


@primitive(batching=aligned)
def _unfold(x: Array, /, windows: Windows) -> Array:
    """All windows of (…, *windows.size), written out: (…, *windows.shape, *windows.count)."""
    extended = padded(x, windows.padding)
    lead = x.shape[: x.ndim - len(windows.size)]
    out = np.empty((*lead, *windows.shape, *windows.count), x.dtype)
    for element, places in windows.elements():
        out[_of(element)] = extended[places]
    return out


@primitive(batching=aligned)
def _fold(columns: Array, /, windows: Windows) -> Array:
    """Windows added up where they overlap: the transpose of :func:`unfold`."""
    lead = columns.shape[: columns.ndim - 2 * len(windows.size)]
    sizes = (size + sum(pair) for size, pair in zip(windows.size, windows.padding, strict=True))
    out = np.zeros((*lead, *sizes), columns.dtype)
    for element, places in windows.elements():
        out[places] += columns[_of(element)]
    return padded(out, negated(windows.padding))


def _of(element: Shape) -> Any:
    """The index of one element of all windows that are written out."""
    return (..., *element, *(slice(None),) * len(element))


_unfold.name, _fold.name = "unfold", "fold"
_unfold.vjp(x=lambda g, windows: _fold(g, windows))
_fold.vjp(columns=lambda g, windows: _unfold(g, windows))


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
    """Windows of images as columns ("im2col"): (N, C, H, W) to (N, C · window, count), or both without N.

    The other arguments are those of :func:`conv2d`.
    """
    x = as_operand(input, "input")
    if x.ndim not in (3, 4):
        raise ValueError(f"input: expected (N, C, H, W) or (C, H, W), got shape {x.shape}")
    windows = _grid(x.shape[-2:], kernel_size, dilation, padding, stride)
    columns = x.shape[-3] * math.prod(windows.shape)
    return reshape(_unfold(x, windows), (*x.shape[:-3], columns, math.prod(windows.count)))


def fold(
    input: Any, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Columns of windows added up to images ("col2im"): the transpose of :func:`unfold`.

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
    return _fold(columns, windows)
