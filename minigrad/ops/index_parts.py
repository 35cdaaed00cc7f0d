"""Index parsing: an index as a view, and integer arrays that index some of its axes."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine.tensor import Array, Shape, Tensor, as_array


class Parts(NamedTuple):
    """Parsed index: a view, and integer arrays that index some axes of that view."""

    view: tuple[Any, ...]
    axes: list[int]
    arrays: list[Any]
    separated: bool  # by a slice, None or ...: then NumPy puts the axes of the arrays first


def is_basic(index: Any) -> bool:
    """True for basic indexing: integers, slices, ``None`` and ``...`` only, which select a view."""
    for part in index if isinstance(index, tuple) else (index,):
        if not (part is None or part is ... or isinstance(part, (slice, int, np.integer))) or isinstance(part, bool):
            return False
    return True


def plain_index(index: Any) -> Any:
    """NumPy's form of an index, with arrays instead of tensors and lists."""
    if isinstance(index, tuple):
        return tuple(plain_index(part) for part in index)
    return as_array(_as_index(index)) if isinstance(index, (Tensor, list)) else index


def parse(index: Any, shape: Shape) -> Parts:
    """Parse an advanced index.

    Raises:
        IndexError: it has more parts than ``shape``, a mask has another shape, or something is not an index.
    """
    given: list[Any] = [
        part if part is None or part is ... or isinstance(part, slice) else _as_index(part)
        for part in (index if isinstance(index, tuple) else (index,))
    ]
    if sum(part is ... for part in given) > 1:
        raise IndexError("an index can have only one ellipsis (...)")
    separated = [is_array for is_array, _ in itertools.groupby(given, _is_array)].count(True) > 1
    missing = len(shape) - sum(_axes_used(part) for part in given)
    if missing < 0:
        raise IndexError(f"too many indices: expected at most {len(shape)}, got {len(shape) - missing}")
    view: list[Any] = []
    axes: list[int] = []
    arrays: list[Any] = []
    axis = 0
    for part in given:
        if part is ...:
            view += [slice(None)] * missing
            axis, missing = axis + missing, 0
            continue
        if _is_array(part):
            positions = [part] if part.dtype.kind in "iu" else _where_true(part, shape[axis : axis + part.ndim], axis)
            axes += range(len(view), len(view) + len(positions))
            arrays += positions
            # A 0-d mask takes all or nothing of an axis that it adds.
            view += [slice(None) if _axes_used(part) else None] * len(positions)
        else:
            view.append(part)
        axis += _axes_used(part)
    return Parts(tuple(view), axes, arrays, separated)


def _is_array(part: Any) -> bool:
    return isinstance(part, (Tensor, np.ndarray))


def _axes_used(part: Any) -> int:
    """Number of axes of the indexed array that a part of the index takes."""
    if part is None or part is ...:
        return 0
    return part.ndim if _is_array(part) and part.dtype.kind == "b" else 1


def _where_true(mask: Any, shape: Shape, axis: int) -> list[Array]:
    """Positions where a mask is True, along each of its axes."""
    if mask.dtype.kind != "b":
        raise IndexError(f"expected integers, slices, ..., None, or integer or boolean arrays, got {mask.dtype}")
    if any(given not in (size, 0) for given, size in zip(mask.shape, shape, strict=True)):  # as in NumPy
        raise IndexError(f"a mask for axes {axis} and following of shape {shape} has the shape {mask.shape}")
    return list(np.nonzero(np.atleast_1d(as_array(mask))))


def as_integers(indices: Any, name: str = "indices") -> Any:
    """Indices as a tensor or an array of integers; values are not checked.

    Raises:
        TypeError: they are not integers.
    """
    array = _as_index(indices, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    return array


def _as_index(part: Any, name: str = "index") -> Any:
    if isinstance(part, Tensor):
        return part
    array = as_array([plain_index(p) for p in part] if isinstance(part, list) else part, name=name)
    return array if isinstance(part, np.ndarray) or array.size else array.astype(np.int64)  # an empty list
