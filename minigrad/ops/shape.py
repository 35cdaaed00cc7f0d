"""Operations that rearrange elements without changing them; most results are views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from minigrad.ops.primitive import primitive
from minigrad.tensor import Array, Shape

__all__ = [
    "broadcast_to",
    "concat",
    "expand_dims",
    "flatten",
    "flip",
    "matrix_transpose",
    "permute_dims",
    "reshape",
    "squeeze",
    "stack",
    "swapaxes",
    "transpose",
]


@primitive(view=True)
def reshape(x: Array, /, shape: Shape) -> Array:
    """The same elements in another shape; one size may be -1.

    Raises:
        ValueError: the number of elements does not fit.
    """
    return np.reshape(x, shape)


reshape.vjp(x=lambda g, x_shape: reshape(g, x_shape))


@primitive(view=True)
def broadcast_to(x: Array, /, shape: Shape) -> Array:
    """``x`` repeated, without a copy, up to ``shape``."""
    return np.broadcast_to(x, shape)


broadcast_to.vjp(x=lambda g: g)  # every cotangent is summed back to its input's shape anyway


@primitive(view=True)
def permute_dims(x: Array, /, axes: Sequence[int]) -> Array:
    """``x`` with its axes in the order given."""
    return np.transpose(x, axes)


permute_dims.vjp(x=lambda g, axes: permute_dims(g, tuple(int(i) for i in np.argsort([a % g.ndim for a in axes]))))


def transpose(x: Any, *axes: Any) -> Any:
    """``x`` with its axes permuted, or reversed when none are given."""
    order = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
    return permute_dims(x, tuple(order) or tuple(reversed(range(np.ndim(x)))))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """``x`` with two axes exchanged."""
    order = list(range(np.ndim(x)))
    axis1, axis2 = normalize_axis_index(axis1, len(order)), normalize_axis_index(axis2, len(order))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return permute_dims(x, tuple(order))


def matrix_transpose(x: Any) -> Any:
    """``x`` with its last two axes exchanged."""
    if np.ndim(x) < 2:
        raise ValueError(f"x: matrix_transpose needs at least 2 dimensions, got {np.ndim(x)}")
    return swapaxes(x, -1, -2)


def expand_dims(x: Any, axis: int | Sequence[int] = 0) -> Any:
    """``x`` with an axis of size 1 inserted at each position in ``axis``."""
    return reshape(x, np.expand_dims(np.broadcast_to(0, np.shape(x)), axis).shape)


def squeeze(x: Any, axis: int | Sequence[int]) -> Any:
    """``x`` without the axes given, which must have size 1."""
    axes = tuple(axis) if isinstance(axis, Sequence) else axis
    return reshape(x, np.squeeze(np.broadcast_to(0, np.shape(x)), axes).shape)


def flatten(x: Any, start_axis: int = 0, end_axis: int = -1) -> Any:
    """``x`` with the axes from start to end merged into one."""
    shape = np.shape(x) or (1,)
    start, end = normalize_axis_index(start_axis, len(shape)), normalize_axis_index(end_axis, len(shape))
    return reshape(x, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


@primitive(dtypes="numeric")
def _concat(*arrays: Array, axis: int) -> Array:
    return np.concatenate(arrays, axis=axis)


_concat.name = "concat"


@_concat.joint_vjp
def _concat_vjp(g: Any, shapes: Sequence[Shape], axis: int) -> list[Any]:
    ends = np.cumsum([shape[axis] for shape in shapes])
    before = (slice(None),) * (axis % g.ndim)
    return [g[(*before, slice(end - shape[axis], end))] for shape, end in zip(shapes, ends.tolist(), strict=True)]


def concat(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """The arrays joined along an axis; flattened first when ``axis`` is None."""
    if axis is None:
        return _concat(*(flatten(x) for x in arrays), axis=0)
    return _concat(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis."""
    if not len(arrays):
        raise ValueError("arrays: expected at least one, got none")
    axis = normalize_axis_index(axis, np.ndim(arrays[0]) + 1)
    return _concat(*(expand_dims(x, axis) for x in arrays), axis=axis)


@primitive(view=True)
def flip(x: Array, /, axis: int | tuple[int, ...] | None = None) -> Array:
    """``x`` with the order of elements reversed along ``axis`` (all axes by default)."""
    return np.flip(x, axis)


flip.vjp(x=lambda g, axis: flip(g, axis=axis))
