"""Picking elements, and their transposes that put cotangents back: repeated indices add up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from minigrad import kernels
from minigrad.ops.primitive import primitive
from minigrad.tensor import Array, Shape, Tensor, as_array

__all__ = [
    "take_along_axis",
    "tril",
    "triu",
]


def _plain(index: Any) -> Any:
    """An index as NumPy understands it."""
    if isinstance(index, tuple):
        return tuple(_plain(part) for part in index)
    if isinstance(index, list):
        return np.asarray([_plain(part) for part in index], None if index else np.int64)
    array = index.data if isinstance(index, Tensor) else index
    return array.copy() if isinstance(array, np.ndarray) else array  # the derivative needs it unchanged


def _is_basic(index: Any) -> bool:
    """Whether the index is made of integers, slices, ``None`` and ``...`` only: it selects a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is ... or isinstance(part, (slice, int, np.integer)) for part in parts)


@primitive(view=True)
def _getitem(x: Array, /, index: Any) -> Array:
    return x[index]


@primitive
def _put(g: Array, /, index: Any, shape: Shape) -> Array:
    """Zeros of ``shape`` with ``g`` added at ``index``: the transpose of indexing."""
    out = np.zeros(shape, g.dtype)
    if _is_basic(index):
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


_getitem.vjp(x=lambda g, x_shape, index: _put(g, index, x_shape))
_put.vjp(g=lambda g, index: _getitem(g, index))
_getitem.name = "getitem"
_put.name = "put"


def getitem(x: Any, index: Any) -> Any:
    """``x[index]``: basic, boolean or integer-array indexing."""
    return _getitem(x, _plain(index))


@primitive
def _take_rows(x: Array, /, indices: Array) -> Array:
    return x[indices]


@primitive
def _add_rows(rows: Array, /, indices: Array, count: int) -> Array:
    """(…, D) rows added into (count, D) zeros at ``indices``: the transpose of picking rows."""
    out = np.zeros((count, rows.shape[-1]), rows.dtype)
    kernels.add_rows(out, indices.reshape(-1), np.ascontiguousarray(rows.reshape(-1, rows.shape[-1])))
    return out


_take_rows.vjp(x=lambda g, x_shape, indices: _add_rows(g, indices, x_shape[0]))
_add_rows.vjp(rows=lambda g, indices: _take_rows(g, indices))
_take_rows.name = "embedding"


def take_rows(x: Any, indices: Any) -> Any:
    """Rows of a (count, D) matrix at integer ``indices`` of any shape: an embedding look-up, ``(*indices.shape, D)``.

    Raises:
        TypeError: ``indices`` are not integers.
        IndexError: an index is outside [0, count).
    """
    indices = as_array(indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices: expected integers, got {indices.dtype}")
    count = np.shape(x)[0]
    if indices.size and not (indices.min() >= 0 and indices.max() < count):
        raise IndexError(f"indices: expected 0 to {count - 1}, got {indices.min()} to {indices.max()}")
    return _take_rows(x, indices.astype(np.int64, copy=False))


@primitive
def _take_along_axis(x: Array, /, indices: Array, axis: int) -> Array:
    return np.take_along_axis(x, indices, axis)


@primitive
def _put_along_axis(g: Array, /, indices: Array, axis: int, shape: Shape) -> Array:
    """Zeros of ``shape`` with ``g`` added at ``indices`` along ``axis``."""
    out = np.zeros(shape, g.dtype)
    grid = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    grid[axis] = indices
    np.add.at(out, tuple(grid), g)
    return out


_take_along_axis.vjp(x=lambda g, x_shape, indices, axis: _put_along_axis(g, indices, axis, x_shape))
_put_along_axis.vjp(g=lambda g, indices, axis: _take_along_axis(g, indices, axis))


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Any:
    """Values picked along one axis by an integer array of the same number of dimensions."""
    indices = as_array(indices)
    axis = normalize_axis_index(axis, np.ndim(x))
    around = [[size for place, size in enumerate(a.shape) if place != axis] for a in (x, indices)]
    if around[0] != around[1]:
        raise ValueError(f"indices: expected the shape {x.shape} but for axis {axis}, got {indices.shape}")
    return _take_along_axis(x, indices, axis)


@primitive
def tril(x: Array, /, k: int = 0) -> Array:
    """The lower triangle of the last two axes, up to the k-th diagonal; zeros above."""
    return np.tril(x, k)


@primitive
def triu(x: Array, /, k: int = 0) -> Array:
    """The upper triangle of the last two axes, from the k-th diagonal; zeros below."""
    return np.triu(x, k)


tril.vjp(x=lambda g, k: tril(g, k))
triu.vjp(x=lambda g, k: triu(g, k))
