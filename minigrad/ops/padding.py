"""Padding, repetition, sliding windows and rolling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape, as_array
from minigrad.ops.arguments import as_integer, as_shape, axis_index, axis_indices, shape_of
from minigrad.ops.batching import along_axis
from minigrad.ops.index_parts import as_integers
from minigrad.ops.indexing import getitem, take
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import broadcast_to, expand_dims, flatten, reshape

__all__ = [
    "pad",
    "repeat",
    "roll",
    "sliding_window_view",
    "tile",
    "unfold",
]

_MODES = {
    "edge": "edge",
    "replicate": "edge",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "wrap": "wrap",
    "circular": "wrap",
}


# Padding


def _pad_examples(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    return arrays, {name: ((0, 0),) * depth + pairs for name, pairs in params.items()}


@primitive(batching=_pad_examples)
def _pad(x: Array, /, widths: tuple[tuple[int, int], ...], values: tuple[tuple[Any, Any], ...]) -> Array:
    return np.pad(x, widths, constant_values=values) if widths else np.array(x)


_pad.vjp(
    x=lambda g, x_shape, widths: g[
        tuple(slice(before, before + size) for (before, _), size in zip(widths, x_shape, strict=True))
    ]
)
_pad.name = "pad"


def pad(x: Any, /, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """Pad ``x`` along its axes.

    Args:
        x: any shape.
        pad_width: numbers of elements: ((before, after), …) for each axis, or (before, after) or a number for all axes.
        mode: ``"constant"``; ``"edge"`` or ``"replicate"``: the outermost elements; ``"reflect"``: mirrored at them;
            ``"symmetric"``: mirrored behind them; ``"wrap"`` or ``"circular"``: those of the other end.
        constant_values: the values of the mode ``"constant"``, in the forms of ``pad_width``.

    Raises:
        ValueError: the mode is unknown, a width is negative, or an empty axis has nothing to repeat.

    Example:
        >>> import minigrad as mg
        >>> mg.pad(mg.arange(3), (1, 2), "reflect")
        tensor([1, 0, 1, 2, 1, 0])
    """
    shape = shape_of(x)
    widths = _pairs(pad_width, len(shape))
    if any(count < 0 for counts in widths for count in counts):
        raise ValueError(f"pad_width: expected no negative numbers, got {pad_width}")
    if isinstance(mode, str) and mode == "constant":
        return _pad(x, widths, _pairs(constant_values, len(shape)))
    if not isinstance(mode, str) or mode not in _MODES:
        raise ValueError(f"mode: expected 'constant' or one of {', '.join(_MODES)}, got {mode!r}")
    for axis, (width, size) in enumerate(zip(widths, shape, strict=True)):
        if width != (0, 0):
            # Padding is indexing: the positions are padded, then taken.
            x = take(x, np.pad(np.arange(size), width, _MODES[mode]), axis=axis)  # type: ignore[call-overload]
    return reshape(x, shape_of(x))  # a tensor also if the widths are 0


def _pairs(given: Any, ndim: int) -> tuple[tuple[Any, Any], ...]:
    """Widths (before, after) for each axis."""
    return tuple((before, after) for before, after in np.broadcast_to(np.asarray(given), (ndim, 2)).tolist())


# Rolling


@primitive(batching=along_axis)
def _roll(x: Array, /, shift: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    return np.roll(x, shift, axis)


_roll.vjp(x=lambda g, shift, axis: _roll(g, tuple(-places for places in shift), axis))
_roll.name = "roll"


def roll(x: Any, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """Roll the elements of ``x`` along an axis; those beyond one end reappear at the other.

    Args:
        x: any shape.
        shift: the number of positions, towards the end if positive.
        axis: one axis or several, with a shift for each or one for all. None: as if flattened.

    Raises:
        ValueError: shifts and axes are not equally many.

    Example:
        >>> import minigrad as mg
        >>> mg.roll(mg.arange(4), 1)
        tensor([3, 0, 1, 2])
    """
    if axis is None:
        return reshape(roll(flatten(x), shift, axis=0), shape_of(x))
    axes = axis_indices(axis, len(shape_of(x)), "axis", repeated=True)
    shifts, places = np.broadcast_arrays(np.ravel(as_shape(shift, "shift")), axes)
    return _roll(x, tuple(shifts.tolist()), tuple(places.tolist()))


# Repetition


def repeat(x: Any, /, repeats: Any, axis: int | None = None) -> Any:
    """Repeat each element of ``x``.

    Args:
        x: any shape.
        repeats: the number of repetitions, or integers, one for each element along ``axis``.
        axis: the axis; None flattens ``x`` first.

    Raises:
        ValueError: ``repeats`` are negative or not as many as the elements.

    Example:
        >>> import minigrad as mg
        >>> mg.repeat(mg.tensor([5, 6]), mg.tensor([1, 2]))
        tensor([5, 6, 6])
    """
    if axis is None:
        x, axis = flatten(x), 0
    axis = axis_index(axis, len(shape_of(x)))
    counts = as_array(as_integers(repeats, "repeats"))
    if counts.size != 1:
        return take(x, np.repeat(np.arange(shape_of(x)[axis]), counts), axis=axis)
    count = int(counts.item())
    if count < 0:
        raise ValueError(f"repeats: expected at least 0, got {count}")
    before, size, after = shape_of(x)[:axis], shape_of(x)[axis], shape_of(x)[axis + 1 :]
    copies = broadcast_to(expand_dims(x, axis + 1), (*before, size, count, *after))
    return reshape(copies, (*before, size * count, *after))


def tile(x: Any, /, reps: int | Sequence[int]) -> Any:
    """Tile: repeat the whole of ``x`` along its axes.

    Args:
        x: any shape.
        reps: the number of copies along each of the last axes; more of them than axes add axes in front.

    Example:
        >>> import minigrad as mg
        >>> mg.tile(mg.tensor([1, 2]), (2, 2))
        tensor([[1, 2, 1, 2],
                [1, 2, 1, 2]])
    """
    counts = as_shape(reps, "reps")
    ndim = max(len(counts), len(shape_of(x)))
    counts = (1,) * (ndim - len(counts)) + counts
    if min(counts, default=0) < 0:
        raise ValueError(f"reps: expected at least 0, got {reps}")
    shape = (1,) * (ndim - len(shape_of(x))) + shape_of(x)
    apart = [part for size in shape for part in (1, size)]
    copies = broadcast_to(reshape(x, tuple(apart)), tuple(p for pair in zip(counts, shape, strict=True) for p in pair))
    return reshape(copies, tuple(math.prod(pair) for pair in zip(counts, shape, strict=True)))


# Windows


@primitive(view=True, batching=along_axis)
def _windows(x: Array, /, window: Shape, axis: tuple[int, ...]) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, window, axis)


@primitive(batching=along_axis)
def _add_windows(g: Array, /, window: Shape, axis: tuple[int, ...]) -> Array:
    """Overlap-add: the transpose of taking sliding windows."""
    places = g.shape[: g.ndim - len(window)]
    shape = list(places)
    for size, along in zip(window, axis, strict=True):
        shape[along] += size - 1
    out = np.zeros(shape, g.dtype)
    for offset in np.ndindex(window):
        target = [slice(None)] * len(shape)
        for start, along in zip(offset, axis, strict=True):
            target[along] = slice(start, start + places[along])
        out[tuple(target)] += g[(..., *offset)]
    return out


_windows.vjp(x=lambda g, window, axis: _add_windows(g, window, axis))
_add_windows.vjp(g=lambda g, window, axis: _windows(g, window, axis))
_windows.name = "sliding_window_view"
_add_windows.name = "add_windows"


def sliding_window_view(x: Any, window_shape: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """Sliding windows of a size in ``x``, as a view.

    Args:
        x: any shape.
        window_shape: the size of a window along each of ``axis``.
        axis: one axis or several; None: all of them.

    Returns:
        The axes of ``x``, those of ``axis`` shorter by the window's size - 1, and behind them those of the window.

    Raises:
        ValueError: a window is larger than ``x``, or there is not one size for each axis.

    Example:
        >>> import minigrad as mg
        >>> mg.sliding_window_view(mg.arange(4), 3)
        tensor([[0, 1, 2],
                [1, 2, 3]])
    """
    window = as_shape(window_shape, "window_shape")
    axes = axis_indices(range(len(shape_of(x))) if axis is None else axis, len(shape_of(x)), "axis")
    sizes = [shape_of(x)[along] for along in axes]
    if len(window) != len(axes) or any(not 0 <= part <= whole for part, whole in zip(window, sizes, strict=False)):
        raise ValueError(f"window_shape: expected a size for each of the axes {axes}, at most {sizes}, got {window}")
    return _windows(x, window, axes)


def unfold(x: Any, axis: int, size: int, step: int = 1) -> Any:
    """Sliding windows along one axis, their starts ``step`` apart: PyTorch's ``Tensor.unfold``.

    Returns:
        The axes of ``x``, with the windows along ``axis`` and the elements of a window along an axis at the end. A
        number is one window.

    Example:
        >>> import minigrad as mg
        >>> mg.unfold(mg.arange(6), 0, 2, 3)
        tensor([[0, 1],
                [3, 4]])
    """
    size, step = as_integer(size, "size"), as_integer(step, "step")
    if step < 1:
        raise ValueError(f"step: expected at least 1, got {step}")
    if not len(shape_of(x)):
        return getitem(unfold(reshape(x, (1,)), axis, size, step), 0)
    axis = axis_index(axis, len(shape_of(x)))
    windows = sliding_window_view(x, size, axis)
    return getitem(windows, (*(slice(None),) * axis, slice(None, None, step)))
