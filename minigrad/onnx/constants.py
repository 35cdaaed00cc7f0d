"""Constant arrays that a function makes with NumPy, of a size that differs from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array
from minigrad.onnx.sizes import Formula, Size, Sizes

Shape = tuple[Size, ...]


@dataclass(frozen=True)
class Progression:
    """Arithmetic progression (N,): ``start``, ``start + step``, …, as of positions."""

    shape: Shape
    dtype: np.dtype[Any]
    start: Size
    step: Size


@dataclass(frozen=True)
class Triangle:
    """Triangular booleans (M, N): True on and below a diagonal, as of a causal mask."""

    shape: Shape
    dtype: np.dtype[Any]
    diagonal: Size


@dataclass(frozen=True)
class Corner:
    """Leading slice of a larger array along each axis, as of a table of positions."""

    shape: Shape
    dtype: np.dtype[Any]
    largest: Array


Sized = Progression | Triangle | Corner


def sized(arrays: Sequence[Array], sizes: Sizes) -> Sized:
    """Symbolic form of an array that has another size in each run.

    Args:
        arrays: as they were in each run; not all alike.
        sizes: the sizes of the runs.

    Raises:
        ValueError: the arrays differ in more than their size, or it is not known how large they can become.
    """
    shape = _shape(arrays, sizes)
    found = shape and (_progression(arrays, shape, sizes) or _triangle(arrays, shape, sizes))
    if found:
        return found
    if shape and all(_is_corner(arrays[0], array) for array in arrays):
        names = {name for size in shape if isinstance(size, Formula) for name in size.names} - sizes.largest.keys()
        if names:
            raise ValueError(
                f"an array made outside of the engine grows with {' and '.join(sorted(names))}; give the largest size "
                f"that can occur, as in max_sizes={{{min(names)!r}: 512}}"
            )
        if all(_is_corner(array, arrays[-1]) for array in arrays):
            return Corner(shape, arrays[-1].dtype, arrays[-1])
    shapes = ", ".join(str(array.shape) for array in arrays)
    raise ValueError(
        f"an array made outside of the engine differs from run to run, and by more than its size (shapes {shapes}): "
        "does NumPy compute it from an input? Use minigrad's functions on tensors instead"
    )


def _shape(arrays: Sequence[Array], sizes: Sizes) -> Shape | None:
    if len({array.ndim for array in arrays}) > 1 or len({array.dtype for array in arrays}) > 1:
        return None
    found = [sizes.formula(of) for of in zip(*(array.shape for array in arrays), strict=True)]
    shape = tuple(size for size in found if size is not None)
    return shape if len(shape) == len(found) and any(isinstance(size, Formula) for size in shape) else None


def _progression(arrays: Sequence[Array], shape: Shape, sizes: Sizes) -> Progression | None:
    if len(shape) != 1 or any(len(array) < 2 or not np.array_equal(array, np.trunc(array)) for array in arrays):
        return None
    start = sizes.formula([int(array[0]) for array in arrays])
    step = sizes.formula([int(array[1]) - int(array[0]) for array in arrays])
    if start is None or step is None:
        return None
    rows = [int(array[0]) + (int(array[1]) - int(array[0])) * np.arange(len(array)) for array in arrays]
    same = all(np.array_equal(array, row) for array, row in zip(arrays, rows, strict=True))
    return Progression(shape, arrays[0].dtype, start, step) if same else None


def _triangle(arrays: Sequence[Array], shape: Shape, sizes: Sizes) -> Triangle | None:
    if len(shape) != 2 or arrays[0].dtype != np.bool_:
        return None
    diagonals = [int(array[0].sum()) - 1 for array in arrays]
    same = all(
        np.array_equal(array, np.tri(len(array), array.shape[1], k)) for array, k in zip(arrays, diagonals, strict=True)
    )
    diagonal = sizes.formula(diagonals) if same else None
    return None if diagonal is None else Triangle(shape, arrays[0].dtype, diagonal)


def _is_corner(small: Array, large: Array) -> bool:
    return np.array_equal(small, large[tuple(slice(size) for size in small.shape)], equal_nan=small.dtype.kind == "f")
