"""Joining and splitting arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape
from minigrad.ops.arguments import all_beside, as_integer, axis_index, shape_of
from minigrad.ops.batching import along_axis
from minigrad.ops.index_parts import as_integers
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import atleast_1d, atleast_2d, atleast_3d, flatten, reshape

__all__ = [
    "append",
    "array_split",
    "column_stack",
    "concat",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]


# Joining


def _concat_examples(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    lead = np.broadcast_shapes(*(array.shape[:depth] for array in arrays))
    whole = [np.broadcast_to(array, lead + array.shape[depth:]) for array in arrays]
    return along_axis(whole, depth, params)


@primitive(dtypes="numeric", batching=_concat_examples)
def _concat(*arrays: Array, axis: int) -> Array:
    return np.concatenate(arrays, axis=axis)


_concat.name = "concat"


@_concat.joint_vjp
def _concat_vjp(g: Any, shapes: Sequence[Shape], axis: int) -> list[Any]:
    ends = np.cumsum([shape[axis] for shape in shapes])
    before = (slice(None),) * (axis % g.ndim)
    return [g[(*before, slice(end - shape[axis], end))] for shape, end in zip(shapes, ends.tolist(), strict=True)]


def concat(arrays: Sequence[Any], /, axis: int | None = 0) -> Any:
    """Concatenate arrays along an axis.

    Args:
        arrays: of one shape but for their sizes along ``axis``; their dtypes are promoted.
        axis: the axis to join along; None flattens them first.

    Raises:
        ValueError: there are no arrays, or their shapes do not fit.

    Example:
        >>> import minigrad as mg
        >>> mg.concat([mg.zeros(2), mg.ones(1)])
        tensor([0., 0., 1.])
    """
    arrays = all_beside(arrays)
    if not arrays:
        raise ValueError("arrays: expected at least one array, got none")
    return _concat(*map(flatten, arrays), axis=0) if axis is None else _concat(*arrays, axis=axis)


def stack(arrays: Sequence[Any], /, axis: int = 0) -> Any:
    """Stack arrays of one shape along a new axis.

    Raises:
        ValueError: there are no arrays, or their shapes differ.

    Example:
        >>> import minigrad as mg
        >>> mg.stack([mg.zeros(2), mg.ones(2)], axis=1)
        tensor([[0., 1.],
                [0., 1.]])
    """
    arrays = all_beside(arrays)
    shapes = {x.shape for x in arrays}
    if len(shapes) != 1:
        raise ValueError(f"arrays: expected at least one, and all of one shape, got {sorted(shapes) or 'none'}")
    shape = shapes.pop()
    axis = axis_index(axis, len(shape) + 1)
    apart = (*shape[:axis], 1, *shape[axis:])
    return _concat(*[reshape(x, apart) for x in arrays], axis=axis)


def _listed(results: Any) -> Sequence[Any]:
    """Sequence of arrays from a single array or several."""
    return results if isinstance(results, (tuple, list)) else [results]


def hstack(arrays: Sequence[Any], /) -> Any:
    """Stack arrays horizontally: along axis 1, vectors along axis 0.

    Example:
        >>> import minigrad as mg
        >>> mg.hstack([mg.zeros((2, 1)), mg.ones((2, 2))]).shape
        (2, 3)
    """
    parts = _listed(atleast_1d(*all_beside(arrays)))
    return concat(parts, axis=0 if parts and len(shape_of(parts[0])) == 1 else 1)


def vstack(arrays: Sequence[Any], /) -> Any:
    """Stack arrays vertically: along axis 0, vectors as rows.

    Example:
        >>> import minigrad as mg
        >>> mg.vstack([mg.zeros(2), mg.ones(2)])
        tensor([[0., 0.],
                [1., 1.]])
    """
    return concat(_listed(atleast_2d(*all_beside(arrays))), axis=0)


def dstack(arrays: Sequence[Any], /) -> Any:
    """Stack arrays in depth: along axis 2, see :func:`atleast_3d`."""
    return concat(_listed(atleast_3d(*all_beside(arrays))), axis=2)


def column_stack(arrays: Sequence[Any], /) -> Any:
    """Stack arrays horizontally, vectors as columns.

    Example:
        >>> import minigrad as mg
        >>> mg.column_stack([mg.zeros(2), mg.ones(2)])
        tensor([[0., 1.],
                [0., 1.]])
    """
    return concat([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in all_beside(arrays)], axis=1)


def append(x: Any, /, values: Any, axis: int | None = None) -> Any:
    """Append ``values`` to ``x`` along an axis; both are flattened when it is None.

    Example:
        >>> import minigrad as mg
        >>> mg.append(mg.arange(2), [7])
        tensor([0, 1, 7])
    """
    return concat([x, values], axis=axis)


# Splitting


@primitive(view=True, batching=along_axis)
def _unstack(x: Array, /, axis: int) -> tuple[Array, ...]:
    before: tuple[Any, ...] = (slice(None),) * (axis % x.ndim)
    return tuple([x[(*before, i, ...)] for i in range(x.shape[axis])])


_unstack.vjp(x=lambda g, axis: stack(_listed(g), axis=axis))
_unstack.name = "unstack"


def unstack(x: Any, /, axis: int = 0) -> tuple[Any, ...]:
    """Unstack ``x`` along an axis: a tuple of arrays without it.

    Example:
        >>> import minigrad as mg
        >>> mg.unstack(mg.tensor([[1, 2], [3, 4]]))
        (tensor([1, 2]), tensor([3, 4]))
    """
    return tuple(_unstack(x, axis_index(axis, len(shape_of(x)))))


@primitive(view=True, batching=along_axis)
def _split(x: Array, /, ends: tuple[int, ...], axis: int) -> tuple[Array, ...]:
    before = (slice(None),) * (axis % x.ndim)
    starts = (0, *ends[:-1])
    return tuple(x[(*before, slice(start, end))] for start, end in zip(starts, ends, strict=True))


_split.vjp(x=lambda g, axis: concat(_listed(g), axis=axis))
_split.name = "split"


def array_split(x: Any, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Split ``x`` along an axis into parts, which may differ in size.

    Args:
        x: at least one axis.
        indices_or_sections: the number of parts (the first are longer by one if it does not divide evenly), or where to
            cut, ascending.
        axis: the axis to cut.

    Raises:
        TypeError: places or their number are not integers.
        ValueError: the number of parts is below 1, or the places do not ascend.

    Example:
        >>> import minigrad as mg
        >>> mg.array_split(mg.arange(5), 2)
        [tensor([0, 1, 2]), tensor([3, 4])]
    """
    axis = axis_index(axis, len(shape_of(x)))
    size = shape_of(x)[axis]
    given = as_integers(indices_or_sections, "indices_or_sections").tolist()
    if isinstance(given, list):
        places = [slice(place).indices(size)[1] for place in given]
        if places != sorted(places):
            raise ValueError(f"indices_or_sections: expected ascending places, got {indices_or_sections}")
        return list(_split(x, (*places, size), axis=axis))
    if given <= 0:
        raise ValueError(f"indices_or_sections: expected at least 1, got {given}")
    short, longer = divmod(size, given)
    return list(_split(x, tuple(i * short + min(i, longer) for i in range(1, given + 1)), axis=axis))


def split(x: Any, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Split ``x`` along an axis, into parts of one size if their number is given. See :func:`array_split`.

    Raises:
        TypeError: places or their number are not integers.
        ValueError: the parts would differ in size.

    Example:
        >>> import minigrad as mg
        >>> mg.split(mg.arange(4), 2)
        [tensor([0, 1]), tensor([2, 3])]
    """
    size = shape_of(x)[axis_index(axis, len(shape_of(x)))]
    count = 1 if len(shape_of(indices_or_sections)) else as_integer(indices_or_sections, "indices_or_sections")
    if size % max(count, 1):
        raise ValueError(f"indices_or_sections: {size} elements do not split evenly into {indices_or_sections}")
    return array_split(x, indices_or_sections, axis=axis)


def hsplit(x: Any, /, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Split ``x`` horizontally: along axis 1, a vector along axis 0."""
    return split(x, indices_or_sections, axis=min(1, len(shape_of(x)) - 1))


def vsplit(x: Any, /, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Split ``x`` (at least 2-d) vertically: along axis 0."""
    return _split_matrix(x, indices_or_sections, 0)


def dsplit(x: Any, /, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """Split ``x`` (at least 3-d) in depth: along axis 2."""
    return _split_matrix(x, indices_or_sections, 2)


def _split_matrix(x: Any, indices_or_sections: int | Sequence[int], axis: int) -> list[Any]:
    if len(shape_of(x)) < max(axis + 1, 2):
        raise ValueError(f"x: expected at least {max(axis + 1, 2)} dimensions, got {len(shape_of(x))}")
    return split(x, indices_or_sections, axis=axis)
