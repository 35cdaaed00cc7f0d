"""Gather, scatter and masked functions: each returns a new array and leaves ``x`` unchanged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.engine.tensor import Array, Shape, Tensor, as_array
from minigrad.ops.arguments import as_integer, axis_index, shape_of
from minigrad.ops.batching import aligned
from minigrad.ops.elementwise import add, multiply, where
from minigrad.ops.index_parts import as_integers
from minigrad.ops.indexing import add_at, getitem, in_dtype_of, setitem, take, take_along_axis, write_at
from minigrad.ops.operands import as_operand, as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import atleast_1d, broadcast_to, flatten, reshape

__all__ = [
    "gather",
    "index_add",
    "index_fill",
    "index_select",
    "masked_fill",
    "masked_select",
    "one_hot",
    "put_along_axis",
    "scatter",
    "scatter_add",
]


def _corner(x: Any, shape: Shape) -> Any:
    """Leading slice of ``x``, of the given shape."""
    return getitem(x, tuple(slice(size) for size in shape))


def _check_fits(index: Any, shape: Shape, axis: int | None, names: str) -> None:
    """Check an index: as many dimensions as the indexed array, and no size that exceeds it but along ``axis``."""
    sizes = zip(index.shape, shape, strict=False)
    if index.ndim != len(shape) or any(a > b and place != axis for place, (a, b) in enumerate(sizes)):
        but = "" if axis is None else f" but for axis {axis}"
        raise ValueError(f"index: expected a shape within that of {names}, {shape},{but} got {index.shape}")


def put_along_axis(x: Any, /, indices: Any, values: Any, axis: int) -> Any:
    """Copy of ``x`` with ``values`` at ``indices`` along one axis, the positions that :func:`take_along_axis` takes.

    Unlike NumPy's function of this name it leaves ``x`` as it is.

    Args:
        x: any shape.
        indices: integers, with as many dimensions as ``x``; shapes broadcast but for ``axis``.
        values: broadcast to the shape of the indices. The last of several for one place counts.
        axis: the axis that the indices go along.

    Raises:
        TypeError: ``indices`` are not integers.
        ValueError: the shapes do not fit.
        IndexError: an index is out of bounds.

    Example:
        >>> import minigrad as mg
        >>> mg.put_along_axis(mg.zeros((2, 2)), [[1], [0]], 5.0, axis=1)
        tensor([[0., 5.],
                [5., 0.]])
    """
    return write_at(x, take_along_axis(_numbered(shape_of(x)), indices, axis=axis), values)


def _numbered(shape: Shape) -> Array:
    """Index array: every element's flat position."""
    return np.arange(math.prod(shape)).reshape(shape)


def gather(x: Any, axis: int, index: Any) -> Any:
    """Gather elements along one axis, in the shape of ``index``: PyTorch's ``gather``.

    ``out[i, j, k] = x[i, index[i, j, k], k]`` for axis 1 of 3.

    Args:
        x: any shape.
        axis: the axis to index.
        index: integers, with as many dimensions as ``x``, and no larger than it along the other axes; or empty.

    Raises:
        TypeError: ``index`` is not of integers.
        ValueError: the shapes do not fit.
        IndexError: an index is out of bounds.

    Example:
        >>> import minigrad as mg
        >>> mg.gather(mg.tensor([[1, 2], [3, 4]]), 1, [[0, 0, 1]])
        tensor([[1, 1, 2]])
    """
    index = as_integers(index)
    if not index.size:
        return reshape(getitem(flatten(x), slice(0)), index.shape)
    x, axis, along = _along(x, axis, index)
    _check_fits(along, shape_of(x), axis, "x")
    corner = tuple(size if place == axis else along.shape[place] for place, size in enumerate(shape_of(x)))
    return reshape(take_along_axis(_corner(x, corner), along, axis=axis), index.shape)


def _along(x: Any, axis: int, *others: Any) -> tuple[Any, ...]:
    """Expand 0-d operands to 1 dimension, as PyTorch does, and normalize the axis."""
    x = atleast_1d(x)
    return x, axis_index(axis, len(shape_of(x))), *(atleast_1d(other) for other in others)


def scatter(x: Any, axis: int, index: Any, src: Any) -> Any:
    """Scatter ``src`` into a copy of ``x`` at ``index`` along one axis: PyTorch's ``scatter``.

    ``out[i, index[i, j, k], k] = src[i, j, k]`` for axis 1 of 3. The last of several writes to one place counts, also
    in the derivative.

    Args:
        x: any shape.
        axis: the axis that the index goes along.
        index: integers, with as many dimensions as ``x``, and no larger than it along the other axes.
        src: a number, or an array no smaller than ``index``, of which the first elements along each axis are used.

    Raises:
        TypeError: ``index`` is not of integers.
        ValueError: the shapes do not fit.
        IndexError: an index is out of bounds.

    Example:
        >>> import minigrad as mg
        >>> mg.scatter(mg.zeros(3), 0, [2, 0], mg.tensor([5.0, 6.0]))
        tensor([6., 0., 5.])
    """
    positions, src = _positions_and_source(x, axis, index, src)
    return write_at(x, positions, src)


def scatter_add(x: Any, axis: int, index: Any, src: Any) -> Any:
    """Scatter-add ``src`` to ``x`` at ``index`` along one axis; repeated indices add up. See :func:`scatter`.

    Example:
        >>> import minigrad as mg
        >>> mg.scatter_add(mg.zeros(3), 0, [2, 2], mg.tensor([5.0, 6.0]))
        tensor([ 0.,  0., 11.])
    """
    positions, src = _positions_and_source(x, axis, index, src)
    src = broadcast_to(src, shape_of(positions))
    shape = shape_of(x)
    return add(x, reshape(add_at(flatten(src), flatten(positions), 0, math.prod(shape)), shape))


def _positions_and_source(x: Any, axis: int, index: Any, src: Any) -> tuple[Any, Any]:
    """Positions in the flattened ``x``, and the values to write."""
    index, src = as_integers(index), as_operand(src, "src", (x,))
    positions = gather(_numbered(shape_of(x)), axis, index)
    if len(shape_of(src)):
        _check_fits(index, shape_of(src), None, "src")
        src = _corner(src, index.shape)
    return positions, src


def index_add(x: Any, axis: int, index: Any, source: Any, alpha: float = 1) -> Any:
    """Indexed add: ``x`` with ``alpha * source`` added at ``index`` along one axis; repeated indices add up.

    Args:
        x: (…, N, …).
        axis: the axis of size N.
        index: (I,) integers in [-N, N).
        source: (…, I, …).
        alpha: a factor for ``source``.

    Raises:
        TypeError: ``index`` is not of integers.
        ValueError: the shapes do not fit.
        IndexError: an index is out of bounds.

    Example:
        >>> import minigrad as mg
        >>> mg.index_add(mg.zeros(3), 0, [0, 2, 0], mg.ones(3))
        tensor([2., 0., 1.])
    """
    x, source = as_operands(x=x, source=source)
    shape = x.shape
    x, axis, source, index = _along(x, axis, source, as_integers(index))
    expected = (*shape_of(x)[:axis], *shape_of(index), *shape_of(x)[axis + 1 :])
    if len(shape_of(index)) != 1 or shape_of(source) != expected:
        raise ValueError(f"source: expected the shape {expected} for an index of one axis, got {shape_of(source)}")
    added = add_at(source, index, axis, shape_of(x)[axis])
    return reshape(add(x, multiply(added, alpha)), shape)


def index_fill(x: Any, axis: int, index: Any, value: Any) -> Any:
    """Copy of ``x`` with one value at ``index`` along an axis.

    Example:
        >>> import minigrad as mg
        >>> mg.index_fill(mg.zeros(3), 0, [0, 2], 1.0)
        tensor([1., 0., 1.])
    """
    shape = shape_of(x)
    x, axis, index = _along(x, axis, as_integers(index))
    return reshape(setitem(x, (*(slice(None),) * axis, index), value), shape)


def index_select(x: Any, axis: int, index: Any) -> Any:
    """Slices of ``x`` at ``index``, (I,) integers, along an axis: (…, N, …) to (…, I, …)."""
    shape = shape_of(x)
    x, axis, index = _along(x, axis, as_integers(index))
    return take(x, index, axis=axis) if shape else reshape(take(x, index, axis=axis), ())


# Masks


def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """Copy of ``x`` with one value where the mask is True; the two broadcast.

    Args:
        x: any shape.
        mask: booleans.
        value: a number or a 0-d tensor, cast to the dtype of ``x``.

    Raises:
        TypeError: the mask is not boolean.
        ValueError: ``value`` has dimensions.

    Example:
        >>> import minigrad as mg
        >>> mg.masked_fill(mg.zeros(2), mg.tensor([True, False]), -1.0)
        tensor([-1.,  0.])
    """
    _check_mask(mask)
    if len(shape_of(value)):
        raise ValueError(f"value: expected one number, got the shape {shape_of(value)}")
    return where(mask, in_dtype_of(x, value), x)


def masked_select(x: Any, mask: Any) -> Any:
    """Elements of ``x`` where the mask is True, as a vector; the two broadcast.

    Raises:
        TypeError: the mask is not boolean.

    Example:
        >>> import minigrad as mg
        >>> mg.masked_select(mg.tensor([5, 6, 7]), mg.tensor([True, False, True]))
        tensor([5, 7])
    """
    _check_mask(mask)
    shape = np.broadcast_shapes(shape_of(x), shape_of(mask))
    return getitem(broadcast_to(x, shape), broadcast_to(mask, shape))


def _check_mask(mask: Any) -> None:
    dtype = (mask if isinstance(mask, Tensor) else as_array(mask)).dtype
    if dtype.kind != "b":
        raise TypeError(f"mask: expected booleans, got {dtype}")


@primitive(batching=aligned)
def _one_hot(indices: Array, /, num_classes: int, dtype: npt.DTypeLike) -> Array:
    if indices.size and not (indices.min() >= 0 and indices.max() < num_classes):
        raise IndexError(f"indices: expected 0 to {num_classes - 1}, got {indices.min()} to {indices.max()}")
    return (indices[..., None] == np.arange(num_classes)).astype(dtype)


_one_hot.name = "one_hot"


def one_hot(indices: Any, num_classes: int = -1, *, dtype: npt.DTypeLike = np.int64) -> Any:
    """One-hot encoding: (…) integers give (…, num_classes).

    Args:
        indices: integers in [0, num_classes), any shape.
        num_classes: -1 for the largest index plus 1.
        dtype: of the result.

    Raises:
        TypeError: ``indices`` are not integers.
        IndexError: an index is out of bounds.

    Example:
        >>> import minigrad as mg
        >>> mg.one_hot([0, 2])
        tensor([[1, 0, 0],
                [0, 0, 1]])
    """
    indices, num_classes = as_integers(indices), as_integer(num_classes, "num_classes")
    if num_classes == -1:
        num_classes = int(as_array(indices).max(initial=-1)) + 1
    return _one_hot(indices, num_classes, dtype)
