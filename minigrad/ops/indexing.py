"""Indexing and index assignment, by NumPy's rules.

Slices, integers, ``None`` and ``...`` select a view. Everything else reduces to indexing along one axis: boolean
masks become the positions where they hold, and several integer arrays become positions along the axes they index,
taken as one. So there are few derivatives here: those of a view, of picking along an axis, and of writing.
Where an index repeats, gradients add up, and the last write counts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Shape, Tensor, as_array
from minigrad.ops.arguments import axis_index, shape_of
from minigrad.ops.batching import aligned, along_axis
from minigrad.ops.elementwise import astype, where
from minigrad.ops.index_parts import as_integers, is_basic, parse
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import broadcast_to, flatten, moveaxis, reshape

__all__ = [
    "take",
    "take_along_axis",
]


# Views


def _whole(arrays: list[Any], depth: int) -> list[Any]:
    """Arrays expanded to all examples, also where they share one."""
    lead = np.broadcast_shapes(*(array.shape[:depth] for array in arrays if isinstance(array, np.ndarray)))
    return [np.broadcast_to(a, lead + a.shape[depth:]) if isinstance(a, np.ndarray) else a for a in arrays]


def _view_examples(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Batching rule of a view: index and shape are those of one example, behind the axes of the batch."""
    arrays = _whole(arrays, depth)
    index = params["index"] if isinstance(params["index"], tuple) else (params["index"],)
    params = {**params, "index": (*(slice(None),) * depth, *index)}
    return arrays, {**params, "shape": arrays[0].shape[:depth] + params["shape"]} if "shape" in params else params


@primitive(view=True, batching=_view_examples)
def _getitem(x: Array, /, index: Any) -> Array:
    part = x[index]
    # A single element is a view too, of 0 dimensions, where NumPy would give a number.
    return part if isinstance(part, np.ndarray) else x[(*index, ...) if isinstance(index, tuple) else (index, ...)]


@primitive(batching=_view_examples)
def _put(g: Array, /, index: Any, shape: Shape) -> Array:
    """Transpose of a view: zeros of ``shape`` with ``g`` at ``index``."""
    out = np.zeros(shape, g.dtype)
    out[index] = g
    return out


@primitive(batching=_view_examples)
def _assign(x: Array, value: Array, /, index: Any) -> Array:
    """Copy of ``x`` with ``value``, of the view's shape, at ``index``."""
    out = np.array(x)
    out[index] = value
    return out


_getitem.vjp(x=lambda g, x_shape, index: _put(g, index, x_shape))
_put.vjp(g=lambda g, index: _getitem(g, index))
_assign.vjp(x=lambda g, index: _assign(g, 0, index), value=lambda g, index: _getitem(g, index))
_getitem.name = "getitem"
_put.name = "put"
_assign.name = "setitem"


# Along one axis


def _own_indices(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    return _whole(arrays, depth), {**params, "batch": depth}


def own_or_shared_indices(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Batching rule of indexing: shared indices apply to a later axis, others to each example."""
    *values, indices = arrays
    if all(size == 1 for size in indices.shape[:depth]):
        return [*values, indices.reshape(indices.shape[depth:])], {**params, "axis": params["axis"] + depth}
    return _own_indices(arrays, depth, params)


def _in_each_example(indices: Array, batch: int) -> tuple[Array, ...]:
    """Index along the axis behind those of the batch, with each example's own indices."""
    examples: tuple[Array, ...] = np.indices(indices.shape[:batch], sparse=True)
    return (*(grid.reshape(grid.shape + (1,) * (indices.ndim - batch)) for grid in examples), indices)


def pick(x: Array, indices: Array, axis: int, batch: int) -> Array:
    indices = indices.astype(np.int64, copy=False)
    if x.size and not batch:  # NumPy's take is fast, but does not check indices of an empty array
        return x.take(indices, axis)
    rows = np.moveaxis(x, batch + axis, batch)[_in_each_example(indices, batch)]
    count = indices.ndim - batch
    return np.moveaxis(rows, range(batch, batch + count), range(batch + axis, batch + axis + count))


@primitive(batching=own_or_shared_indices)
def _take(x: Array, indices: Array, /, axis: int, batch: int = 0) -> Array:
    """Index x (…, N, …) at indices (I): (…, I, …). ``batch`` leading axes belong to both."""
    return pick(x, indices, axis, batch)


@primitive(batching=own_or_shared_indices)
def add_at(g: Array, indices: Array, /, axis: int, size: int, batch: int = 0) -> Array:
    """Transpose of indexing: g (…, I, …) added into (…, size, …) zeros at indices (I)."""
    indices = indices.astype(np.int64, copy=False)
    count = indices.ndim - batch
    rows = np.moveaxis(g, range(batch + axis, batch + axis + count), range(batch, batch + count))
    others = rows.shape[batch + count :]
    if batch or g.dtype.kind != "f":
        out = np.zeros((*indices.shape[:batch], size, *others), g.dtype)
        np.add.at(out, _in_each_example(indices, batch), rows)
    else:
        flat = np.zeros((size, math.prod(others)), g.dtype)
        places = np.where(indices < 0, indices + size, indices).reshape(-1)
        kernels.add_rows(flat, places, np.ascontiguousarray(rows).reshape(places.size, flat.shape[1]))
        if not axis and len(others) == 1:
            return flat  # no view: the backward pass takes it without a copy
        out = flat.reshape(size, *others)
    return np.moveaxis(out, batch, batch + axis)


_take.vjp(x=lambda g, indices, x_shape, axis: add_at(g, indices, axis, x_shape[axis]))
add_at.vjp(g=lambda g, indices, axis: _take(g, indices, axis))
_take.name = "take"


def take(x: Any, /, indices: Any, axis: int | None = None) -> Any:
    """Elements of ``x`` at integer ``indices`` along an axis.

    Args:
        x: (…, N, …), any dtype.
        indices: integers in [-N, N), of any shape I.
        axis: the axis of size N; None flattens ``x`` first.

    Returns:
        (…, I, …).

    Raises:
        TypeError: ``indices`` are not integers.
        IndexError: an index is out of bounds.

    Example:
        >>> import minigrad as mg
        >>> mg.take(mg.tensor([5, 6, 7]), [2, 0, 0])
        tensor([7, 5, 5])
    """
    if axis is None:
        x, axis = flatten(x), 0
    return _take(x, as_integers(indices), axis_index(axis, len(shape_of(x))))


@primitive(batching=along_axis)
def _take_along_axis(x: Array, indices: Array, /, axis: int) -> Array:
    return np.take_along_axis(x, indices.astype(np.int64, copy=False), axis)


@primitive(batching=along_axis)
def _add_along_axis(g: Array, indices: Array, /, axis: int, size: int) -> Array:
    """Transpose of :func:`take_along_axis`: ``g`` added at ``indices`` into zeros, ``size`` of them along ``axis``."""
    shape = list(np.broadcast_shapes(g.shape, indices.shape))
    g, indices = np.broadcast_to(g, shape), np.broadcast_to(indices.astype(np.int64, copy=False), shape)
    shape[axis] = size
    out = np.zeros(shape, g.dtype)
    if indices.shape[axis] == 1:  # nothing can repeat
        np.put_along_axis(out, indices, g, axis)
    else:
        grid: list[Array] = list(np.indices(indices.shape, sparse=True))
        grid[axis] = indices
        np.add.at(out, tuple(grid), g)
    return out


_take_along_axis.vjp(x=lambda g, x_shape, indices, axis: _add_along_axis(g, indices, axis, x_shape[axis]))
_add_along_axis.vjp(g=lambda g, indices, axis: _take_along_axis(g, indices, axis))
_take_along_axis.name = "take_along_axis"
_add_along_axis.name = "add_along_axis"


def take_along_axis(x: Any, /, indices: Any, axis: int = -1) -> Any:
    """Elements along one axis, at separate indices for every position of the other axes.

    Args:
        x: any shape.
        indices: integers, with as many dimensions as ``x``; shapes broadcast but for ``axis``.
        axis: the axis to index.

    Raises:
        TypeError: ``indices`` are not integers.
        ValueError: the shapes do not fit.
        IndexError: an index is out of bounds.

    Example:
        >>> import minigrad as mg
        >>> mg.take_along_axis(mg.tensor([[5, 6], [7, 8]]), [[1], [0]], axis=1)
        tensor([[6],
                [7]])
    """
    indices = as_integers(indices)
    axis = axis_index(axis, len(shape_of(x)))
    shape = shape_of(x)
    if indices.ndim != len(shape) or any(
        1 not in sizes and sizes[0] != sizes[1] and place != axis
        for place, sizes in enumerate(zip(shape, indices.shape, strict=True))
    ):
        raise ValueError(f"indices: expected the shape {shape} but for axis {axis}, got {indices.shape}")
    return _take_along_axis(x, indices, axis)


# NumPy's index


@primitive(batching=aligned)
def _positions(*indices: Array, sizes: tuple[int, ...]) -> Array:
    """Flat positions along several axes merged into one."""
    total: Any = 0
    for place, (index, size) in enumerate(zip(indices, sizes, strict=True)):
        lowest, highest = (index.min(), index.max()) if index.size else (0, -1)
        if lowest < -size or highest >= size:
            raise IndexError(
                f"the index array number {place}: expected {-size} to {size - 1}, got {lowest} to {highest}"
            )
        index = index.astype(np.int64, copy=False)
        total = total * size + (np.where(index < 0, index + size, index) if lowest < 0 else index)
    return np.asarray(total)


def getitem(x: Any, index: Any, /) -> Any:
    """Indexing ``x[index]`` by NumPy's rules; the parts of the index may also be tensors.

    Raises:
        IndexError: an index is out of bounds, or does not fit the shape of ``x``.
    """
    if is_basic(index):
        view = _getitem(x, index)
        if isinstance(x, Tensor):
            view.taken_from(x, index)
        return view
    view, axes, arrays, separated = parse(index, shape_of(x))
    if any(part is None or part != slice(None) for part in view):
        x = _getitem(x, view)
    if len(arrays) == 1:
        return _take(x, arrays[0], axes[0])
    sizes = tuple(shape_of(x)[axis] for axis in axes)
    try:
        np.broadcast_shapes(*map(shape_of, arrays))
    except ValueError as error:
        shapes = ", ".join(str(shape_of(array)) for array in arrays)
        raise IndexError(f"index arrays of the shapes {shapes} do not broadcast against each other") from error
    if separated:
        x = moveaxis(x, axes, range(len(axes)))
    first = 0 if separated else axes[0]
    x = reshape(x, (*shape_of(x)[:first], math.prod(sizes), *shape_of(x)[first + len(axes) :]))
    return _take(x, _positions(*arrays, sizes=sizes), first)


# Writing


@primitive(batching=_own_indices)
def _write(x: Array, value: Array, positions: Array, /, batch: int = 0) -> Array:
    """Copy of x (N) with value (I) at positions (I)."""
    out = np.array(x)
    out[_in_each_example(positions, batch)] = value
    return out


@primitive(batching=_own_indices)
def _is_last(positions: Array, /, count: int, batch: int = 0) -> Array:
    """True for the last of several writes to the same of ``count`` positions."""
    writers = np.zeros((*positions.shape[:batch], count), np.int64)
    order = np.arange(math.prod(positions.shape[batch:])).reshape(positions.shape[batch:])
    index = _in_each_example(positions, batch)
    writers[index] = order
    return writers[index] == order


_write.vjp(
    x=lambda g, positions: _write(g, 0, positions),
    value=lambda g, x_shape, positions: where(_is_last(positions, x_shape[0]), _take(g, positions, 0), 0),
)
_write.name = "setitem"


def write_at(x: Any, positions: Any, value: Any) -> Any:
    """Copy of ``x`` with ``value``, broadcast to their shape, at positions in the flattened ``x``."""
    value = in_dtype_of(x, value)
    return reshape(_write(flatten(x), _shaped(value, shape_of(positions)), positions), shape_of(x))


def setitem(x: Any, index: Any, value: Any, /) -> Any:
    """Index assignment: a copy of ``x`` with ``x[index] = value``. Where the index repeats, the last write counts.

    Args:
        x: any shape and dtype.
        index: as for ``x[index]``; its parts may also be tensors.
        value: broadcast to the shape of ``x[index]`` and cast to the dtype of ``x``.

    Raises:
        IndexError: the index is out of bounds, or does not fit the shape of ``x``.
        ValueError: ``value`` does not broadcast to the shape of ``x[index]``.
        OverflowError: ``value`` is a Python integer outside the dtype's range.
    """
    shape, value = shape_of(x), in_dtype_of(x, value)
    if is_basic(index):
        return _assign(x, _shaped(value, np.broadcast_to(False, shape)[index].shape), index)
    is_mask = isinstance(index, (Tensor, np.ndarray)) and index.dtype.kind == "b" and index.shape == shape
    if is_mask and not len(shape_of(value)):
        return where(index, value, x)
    positions = getitem(np.arange(math.prod(shape)).reshape(shape), index)
    return write_at(x, positions, value)


def in_dtype_of(x: Any, value: Any) -> Any:
    """Cast a value to the dtype of ``x``; a Python integer outside the dtype's range is an error."""
    dtype = (x if isinstance(x, Tensor) else as_array(x)).dtype
    if not isinstance(value, (Tensor, np.ndarray)):
        return np.asarray(value, dtype)
    return value if value.dtype == dtype else astype(value, dtype)


def _shaped(value: Any, shape: Shape) -> Any:
    """Broadcast a value to a shape; leading axes of size 1 are dropped, as in NumPy's assignment."""
    extra = max(len(shape_of(value)) - len(shape), 0)
    if extra and set(shape_of(value)[:extra]) == {1}:
        value = reshape(value, shape_of(value)[extra:])
    return broadcast_to(value, shape)
