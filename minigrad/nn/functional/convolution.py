"""Convolutions over one, two and three axes, and their transposes.

An input (N, C, size) has N examples of C channels; N may be left out. Arguments that concern the spatial axes are one
integer for all of them, or one for each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

from minigrad.engine.tensor import Shape, Tensor
from minigrad.ops.arguments import as_integer, as_shape
from minigrad.ops.convolution import convolution, convolution_transpose
from minigrad.ops.operands import as_operand, as_operands
from minigrad.ops.shape import reshape
from minigrad.ops.windows import Padding, Windows

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

Sizes = int | Sequence[int]


def for_each_axis(name: str, value: Sizes, axes: int, least: int) -> Shape:
    """One integer for each spatial axis, none below ``least``."""
    values = as_shape(value, name)
    values = values * axes if len(values) == 1 else values
    if len(values) != axes or any(v < least for v in values):
        raise ValueError(f"{name}: expected an integer ≥ {least}, or {axes} of them, got {value}")
    return values


def _conv(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | Literal["valid", "same"] = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """The weighted sum of every window of the input (a cross-correlation, as neural networks call convolution).

    Args:
        input: (N, C, *size) or (C, *size), with as many spatial axes as the function's name says.
        weight: (O, C / groups, *window).
        bias: (O,), or None.
        stride: from one window to the next.
        padding: zeros on both sides of an axis; "valid" is none, "same" as many as keep the size (with stride 1).
        dilation: from one element of a window to the next.
        groups: the number of parts that channels and results are split into, each of which sees only its own.

    Returns:
        (N, O, *count) with count = ⌊(size + 2 · padding - dilation · (window - 1) - 1) / stride⌋ + 1; without N if
        there was none.

    Raises:
        ValueError: shapes or arguments do not fit; the message names the argument.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.nn import functional as F
        >>> F.conv2d(mg.ones((1, 3, 8, 8)), mg.ones((16, 3, 3, 3)), stride=2, padding=1).shape
        (1, 16, 4, 4)
    """
    x, weight, bias = as_operands("bias", input=input, weight=weight, bias=bias)
    batch, bias = _prepared(x, bias, weight, groups, weight.shape[1] * groups, weight.shape[0])
    window = weight.shape[2:]
    steps = for_each_axis("stride", stride, len(window), 1)
    apart = for_each_axis("dilation", dilation, len(window), 1)
    windows = Windows(batch.shape[2:], window, steps, apart, _around(padding, window, steps, apart))
    if any(count < 1 for count in windows.count):
        raise ValueError(f"weight: its window {window}, with dilation {apart}, does not fit into the padded input")
    out = convolution(batch, weight, bias, windows=windows, groups=groups)
    return out if batch is x else reshape(out, out.shape[1:])


def _conv_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Every element of the input adds its weighted window to the result: the transpose of a convolution.

    Args:
        input: (N, C, *count) or (C, *count), with as many spatial axes as the function's name says.
        weight: (C, O / groups, *window).
        bias: (O,), or None.
        stride: in the result, from the window of one element to that of the next.
        padding: what is cut off the result on both sides of an axis.
        output_padding: by how much less is cut off at the end, for a stride above 1 has several sizes to go back to.
        groups: the number of parts that channels and results are split into, each of which sees only its own.
        dilation: from one element of a window to the next.

    Returns:
        (N, O, *size) with size = (count - 1) · stride + dilation · (window - 1) + 1 - 2 · padding + output_padding;
        without N if there was none.

    Raises:
        ValueError: shapes or arguments do not fit; the message names the argument.

    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, chapter 4.
    """
    y, weight, bias = as_operands("bias", input=input, weight=weight, bias=bias)
    batch, bias = _prepared(y, bias, weight, groups, weight.shape[0], weight.shape[1] * groups)
    window = weight.shape[2:]
    steps = for_each_axis("stride", stride, len(window), 1)
    apart = for_each_axis("dilation", dilation, len(window), 1)
    cut = for_each_axis("padding", padding, len(window), 0)
    extra = for_each_axis("output_padding", output_padding, len(window), 0)
    if any(e >= s and e >= d for e, s, d in zip(extra, steps, apart, strict=True)):
        raise ValueError(f"output_padding: expected less than stride {steps} or dilation {apart}, got {extra}")
    size = tuple(
        (count - 1) * s + d * (k - 1) + 1 - 2 * c + e
        for count, s, d, k, c, e in zip(batch.shape[2:], steps, apart, window, cut, extra, strict=True)
    )
    if any(each < 1 for each in size):
        raise ValueError(f"padding: with {cut} cut off on both sides, the result's size would be {size}")
    windows = Windows(size, window, steps, apart, tuple((c, c - e) for c, e in zip(cut, extra, strict=True)))
    out = convolution_transpose(batch, weight, bias, windows=windows, groups=groups)
    return out if batch is y else reshape(out, out.shape[1:])


def _prepared(input: Tensor, bias: Any, weight: Tensor, groups: int, channels: int, results: int) -> tuple[Tensor, Any]:
    """The input with its batch axis, and the bias as it broadcasts to the results."""
    axes = weight.ndim - 2
    if input.ndim not in (axes + 1, axes + 2):
        raise ValueError(f"input: expected (N, C, …) or (C, …) with {axes} spatial axes, got shape {input.shape}")
    if as_integer(groups, "groups") < 1 or weight.shape[0] % groups:
        raise ValueError(f"groups: expected a divisor of {weight.shape[0]} for weight {weight.shape}, got {groups}")
    if input.shape[-axes - 1] != channels:
        raise ValueError(f"input: expected {channels} channels for weight {weight.shape}, got shape {input.shape}")
    if bias is not None:
        if bias.shape != (results,):
            raise ValueError(f"bias: expected shape ({results},), got {bias.shape}")
        bias = reshape(bias, (results, *(1,) * axes))
    return (input if input.ndim == axes + 2 else reshape(input, (1, *input.shape))), bias


def _around(padding: Sizes | Literal["valid", "same"], window: Shape, stride: Shape, dilation: Shape) -> Padding:
    """How many zeros before and after each axis; of an odd number, "same" puts one more after."""
    if padding == "same":
        if any(step != 1 for step in stride):
            raise ValueError(f"padding: 'same' needs a stride of 1, got {stride}")
        missing = [d * (k - 1) for d, k in zip(dilation, window, strict=True)]
        return tuple((total // 2, total - total // 2) for total in missing)
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(f"padding: expected integers, 'valid' or 'same', got {padding!r}")
    return tuple((p, p) for p in for_each_axis("padding", 0 if padding == "valid" else padding, len(window), 0))


def _over(axes: int, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function for so many spatial axes."""

    @functools.wraps(function)
    def over_axes(input: Any, weight: Any, *args: Any, **kwargs: Any) -> Tensor:
        weight = as_operand(weight, "weight")
        if weight.ndim != axes + 2:
            raise ValueError(f"weight: expected {axes + 2} axes, {axes} of them spatial, got shape {weight.shape}")
        return function(input, weight, *args, **kwargs)

    over_axes.__name__ = over_axes.__qualname__ = f"{function.__name__[1:]}{axes}d"
    return over_axes


conv1d, conv2d, conv3d = (_over(axes, _conv) for axes in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (_over(axes, _conv_transpose) for axes in (1, 2, 3))
