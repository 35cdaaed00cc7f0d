"""Shape manipulation; most results are views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape
from minigrad.ops.arguments import as_integer, axis_index, axis_indices, reduced_axes, shape_of
from minigrad.ops.batching import along_axis
from minigrad.ops.primitive import primitive

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "flatten",
    "flip",
    "fliplr",
    "flipud",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "rollaxis",
    "rot90",
    "squeeze",
    "swapaxes",
    "transpose",
]

Axes = int | Sequence[int]


# Views


def _reshape_examples(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    (x,) = arrays
    example = np.broadcast_to(False, x.shape[depth:])  # so that a size of -1 is that of an example
    return arrays, {**params, "shape": (*x.shape[:depth], *example.reshape(params["shape"]).shape)}


@primitive(view=True, batching=_reshape_examples)
def reshape(x: Array, /, shape: int | Shape, copy: bool | None = None) -> Array:
    """Reshape ``x``; a view where possible.

    Args:
        x: any shape and dtype.
        shape: the new shape; one size may be -1, it is inferred.
        copy: True always copies, False never does, None only where a view cannot have this shape.

    Raises:
        ValueError: the number of elements does not fit, or ``copy=False`` would need a copy.

    Example:
        >>> import minigrad as mg
        >>> mg.reshape(mg.arange(6), (2, -1))
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """
    return x.reshape(shape, copy=copy)


reshape.vjp(x=lambda g, x_shape: reshape(g, x_shape))


def _broadcast_examples(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    (x,) = arrays
    shape = np.broadcast_shapes(params["shape"])
    lead, example = x.shape[:depth], x.shape[depth:]
    x = x.reshape(*lead, *(1,) * (len(shape) - len(example)), *example)
    return [x], {"shape": (*lead, *shape)}


@primitive(view=True, batching=_broadcast_examples)
def broadcast_to(x: Array, /, shape: int | Shape) -> Array:
    """Broadcast ``x`` to ``shape``, without a copy.

    Raises:
        ValueError: ``x`` does not broadcast to that shape.

    Example:
        >>> import minigrad as mg
        >>> mg.broadcast_to(mg.arange(2), (2, 2))
        tensor([[0, 1],
                [0, 1]])
    """
    return np.broadcast_to(x, shape)


broadcast_to.vjp(x=lambda g: g)  # every cotangent is summed back to its input's shape anyway


def _permute_examples(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    count = arrays[0].ndim - depth
    axes = axis_indices(params["axes"], count, "axes")
    if len(axes) != count:
        raise ValueError(f"axes: expected all {count} of them, got {axes}")
    return arrays, {"axes": (*range(depth), *(axis + depth for axis in axes))}


@primitive(view=True, batching=_permute_examples)
def permute_dims(x: Array, /, axes: Sequence[int]) -> Array:
    """Permute the axes of ``x``.

    Raises:
        ValueError: ``axes`` is not a permutation of the axes of ``x``.

    Example:
        >>> import minigrad as mg
        >>> mg.permute_dims(mg.zeros((2, 3, 4)), (2, 0, 1)).shape
        (4, 2, 3)
    """
    return x.transpose(axes)


def _permute_vjp(g: Any, axes: Sequence[int]) -> Any:
    order = [axis % g.ndim for axis in axes]
    return permute_dims(g, tuple(map(order.index, range(g.ndim))))


permute_dims.vjp(x=_permute_vjp)


@primitive(view=True, batching=along_axis)
def flip(x: Array, /, axis: int | tuple[int, ...] | None = None) -> Array:
    """Reverse the order of elements along ``axis`` (all axes by default).

    Example:
        >>> import minigrad as mg
        >>> mg.flip(mg.arange(3))
        tensor([2, 1, 0])
    """
    return np.flip(x, axis)


flip.vjp(x=lambda g, axis: flip(g, axis=axis))


# The order of axes


def transpose(x: Any, /, *axes: Any) -> Any:
    """Transpose ``x``: its axes permuted, or reversed when none are given.

    Example:
        >>> import minigrad as mg
        >>> mg.transpose(mg.zeros((2, 3, 4))).shape
        (4, 3, 2)
    """
    order = axes[0] if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))) else axes
    ndim = len(shape_of(x))
    if order and len(order) == 2 < ndim:
        raise ValueError(
            f"axes: expected all {ndim} of them in their new order, got {tuple(order)}; swapaxes takes two"
        )
    return permute_dims(x, tuple(order or ()) or tuple(reversed(range(ndim))))


def moveaxis(x: Any, /, source: Axes, destination: Axes) -> Any:
    """Move axes of ``x`` to new positions; the others keep their order.

    Args:
        x: any shape.
        source: one axis or several different ones.
        destination: the new position of each of them.

    Raises:
        ValueError: an axis repeats or is out of bounds, or the two are not equally many.

    Example:
        >>> import minigrad as mg
        >>> mg.moveaxis(mg.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    ndim = len(shape_of(x))
    sources = axis_indices(source, ndim, "source")
    destinations = axis_indices(destination, ndim, "destination")
    if len(sources) != len(destinations):
        raise ValueError(f"destination: expected {len(sources)} axes as in source, got {len(destinations)}")
    order = [axis for axis in range(ndim) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, tuple(order))


def rollaxis(x: Any, /, axis: int, start: int = 0) -> Any:
    """Move one axis of ``x`` in front of another; NumPy's older :func:`moveaxis`.

    Example:
        >>> import minigrad as mg
        >>> mg.rollaxis(mg.zeros((2, 3, 4)), 2).shape
        (4, 2, 3)
    """
    axis = axis_index(axis, len(shape_of(x)))
    start += len(shape_of(x)) * (start < 0)
    return moveaxis(x, axis, start - (axis < start))


def swapaxes(x: Any, /, axis1: int, axis2: int) -> Any:
    """Swap two axes of ``x``.

    Example:
        >>> import minigrad as mg
        >>> mg.swapaxes(mg.zeros((2, 3, 4)), 0, 2).shape
        (4, 3, 2)
    """
    order = list(range(len(shape_of(x))))
    axis1, axis2 = axis_index(axis1, len(order)), axis_index(axis2, len(order))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return permute_dims(x, tuple(order))


def matrix_transpose(x: Any, /) -> Any:
    """Transpose the last two axes of ``x``: (…, M, N) to (…, N, M).

    Example:
        >>> import minigrad as mg
        >>> mg.matrix_transpose(mg.zeros((2, 3, 4))).shape
        (2, 4, 3)
    """
    ndim = len(shape_of(x))
    if ndim < 2:
        raise ValueError(f"x: matrix_transpose needs at least 2 dimensions, got {ndim}")
    return permute_dims(x, (*range(ndim - 2), ndim - 1, ndim - 2))


# The number of axes


def expand_dims(x: Any, /, axis: Axes = 0) -> Any:
    """Insert an axis of size 1 at each position in ``axis``.

    Example:
        >>> import minigrad as mg
        >>> mg.expand_dims(mg.zeros((2, 3)), 1).shape
        (2, 1, 3)
    """
    sizes = list(shape_of(x))
    for place in sorted(axis_indices(axis, len(sizes) + (len(axis) if isinstance(axis, Sequence) else 1))):
        sizes.insert(place, 1)
    return reshape(x, tuple(sizes))


def squeeze(x: Any, /, axis: Axes | None = None) -> Any:
    """Remove the given axes, which must have size 1; by default all axes of size 1.

    Example:
        >>> import minigrad as mg
        >>> mg.squeeze(mg.zeros((2, 1, 3)), 1).shape
        (2, 3)
    """
    axes = axis if axis is None else reduced_axes(tuple(axis) if isinstance(axis, Sequence) else axis, len(shape_of(x)))
    return reshape(x, np.squeeze(np.broadcast_to(0, shape_of(x)), axes).shape)


def flatten(x: Any, /, start_axis: int = 0, end_axis: int = -1) -> Any:
    """Flatten the axes from start to end into one.

    Example:
        >>> import minigrad as mg
        >>> mg.flatten(mg.zeros((2, 3, 4)), 1).shape
        (2, 12)
    """
    shape = shape_of(x) or (1,)
    start, end = axis_index(start_axis, len(shape)), axis_index(end_axis, len(shape))
    return reshape(x, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def ravel(x: Any, /) -> Any:
    """Flatten all axes of ``x`` into one.

    Example:
        >>> import minigrad as mg
        >>> mg.ravel(mg.zeros((2, 3))).shape
        (6,)
    """
    return flatten(x)


def atleast_1d(*arrays: Any) -> Any:
    """Arrays with at least 1 axis; one array, or a tuple when several are given.

    Example:
        >>> import minigrad as mg
        >>> mg.atleast_1d(mg.tensor(3.0))
        tensor([3.])
    """
    return _each(arrays, lambda shape: shape or (1,))


def atleast_2d(*arrays: Any) -> Any:
    """Arrays with at least 2 axes: a vector becomes a row.

    Example:
        >>> import minigrad as mg
        >>> mg.atleast_2d(mg.zeros(3)).shape
        (1, 3)
    """
    return _each(arrays, lambda shape: (1,) * (2 - len(shape)) + shape)


def atleast_3d(*arrays: Any) -> Any:
    """Arrays with at least 3 axes: (N) becomes (1, N, 1), and (M, N) becomes (M, N, 1).

    Example:
        >>> import minigrad as mg
        >>> mg.atleast_3d(mg.zeros(3)).shape
        (1, 3, 1)
    """
    return _each(arrays, lambda shape: (1, *shape, 1) if len(shape) == 1 else shape + (1,) * (3 - len(shape)))


def _each(arrays: Sequence[Any], shape: Any) -> Any:
    results = tuple(reshape(x, shape(shape_of(x))) for x in arrays)
    return results[0] if len(results) == 1 else results


# Several arrays of one shape


def broadcast_shapes(*shapes: int | Shape) -> Shape:
    """Common shape of broadcasting.

    Raises:
        ValueError: two of them do not broadcast.

    Example:
        >>> import minigrad as mg
        >>> mg.broadcast_shapes((3, 1), (4,))
        (3, 4)
    """
    return np.broadcast_shapes(*shapes)


def broadcast_arrays(*arrays: Any) -> list[Any]:
    """Broadcast arrays against each other, without copies.

    Example:
        >>> import minigrad as mg
        >>> [x.shape for x in mg.broadcast_arrays(mg.zeros((3, 1)), mg.zeros(4))]
        [(3, 4), (3, 4)]
    """
    shape = np.broadcast_shapes(*map(shape_of, arrays))
    return [broadcast_to(x, shape) for x in arrays]


# Turning


def fliplr(x: Any, /) -> Any:
    """Flip left to right: reverse axis 1."""
    return flip(x, axis=1)


def flipud(x: Any, /) -> Any:
    """Flip upside down: reverse axis 0."""
    return flip(x, axis=0)


def rot90(x: Any, /, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """Rotate ``x`` by 90°, ``k`` times, from the first of two axes towards the second.

    Raises:
        ValueError: ``axes`` are not two different axes of ``x``.

    Example:
        >>> import minigrad as mg
        >>> mg.rot90(mg.tensor([[1, 2], [3, 4]]))
        tensor([[2, 4],
                [1, 3]])
    """
    k, axes = as_integer(k, "k"), axis_indices(axes, len(shape_of(x)), "axes")
    if len(axes) != 2:
        raise ValueError(f"axes: expected two, got {axes}")
    first, second = axes
    if k % 4 == 2:
        return flip(x, axis=(first, second))
    if k % 4 == 1:
        return swapaxes(flip(x, axis=second), first, second)
    return flip(swapaxes(x, first, second), axis=second) if k % 4 == 3 else flip(x, axis=())
