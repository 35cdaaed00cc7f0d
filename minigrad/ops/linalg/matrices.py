"""Structured matrices: triangles, diagonals and blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.engine.dtypes import default_float
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.arguments import as_integer, shape_of
from minigrad.ops.batching import aligned
from minigrad.ops.creation import eye
from minigrad.ops.diagonals import diagonal
from minigrad.ops.elementwise import where
from minigrad.ops.joining import concat
from minigrad.ops.padding import pad
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import atleast_2d, expand_dims, flatten

__all__ = [
    "block_diag",
    "diag",
    "diagflat",
    "tri",
    "tril",
    "triu",
]


# Triangles


def _within(x: Array, k: int) -> int:
    """Clamp the offset of a diagonal outside the matrix to the nearest one, within NumPy's integer range."""
    if x.ndim < 2:
        raise ValueError(f"x: expected at least 2 dimensions, got {x.ndim}")
    return max(-x.shape[-2], min(as_integer(k, "k"), x.shape[-1]))


@primitive(batching=aligned)
def tril(x: Array, /, k: int = 0) -> Array:
    """Lower triangle of the last two axes, up to the k-th diagonal; zeros above.

    Example:
        >>> import minigrad as mg
        >>> mg.tril(mg.ones((2, 2)))
        tensor([[1., 0.],
                [1., 1.]])
    """
    return np.tril(x, _within(x, k))


@primitive(batching=aligned)
def triu(x: Array, /, k: int = 0) -> Array:
    """Upper triangle of the last two axes, from the k-th diagonal; zeros below.

    Example:
        >>> import minigrad as mg
        >>> mg.triu(mg.ones((2, 2)), k=1)
        tensor([[0., 1.],
                [0., 0.]])
    """
    return np.triu(x, _within(x, k))


tril.vjp(x=lambda g, k: tril(g, k))
triu.vjp(x=lambda g, k: triu(g, k))


def tri(n_rows: int, n_cols: int | None = None, k: int = 0, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Lower triangular matrix: ones on and below the k-th diagonal, zeros above; float32 unless a dtype is given."""
    sizes = as_integer(n_rows, "n_rows"), None if n_cols is None else as_integer(n_cols, "n_cols")
    return Tensor(np.tri(*sizes, as_integer(k, "k"), dtype or default_float))


# Diagonals


def diag(x: Any, /, k: int = 0) -> Any:
    """Diagonal of a matrix, or matrix with a vector as its k-th diagonal.

    Args:
        x: (M, N), or (N,).
        k: above the main diagonal if positive, below it if negative.

    Raises:
        ValueError: ``x`` has neither 1 nor 2 dimensions.

    Example:
        >>> import minigrad as mg
        >>> mg.diag(mg.tensor([1, 2]))
        tensor([[1, 0],
                [0, 2]])
    """
    k = as_integer(k, "k")
    if len(shape_of(x)) == 2:
        return diagonal(x, k)
    if len(shape_of(x)) != 1:
        raise ValueError(f"x: expected 1 or 2 dimensions, got {len(shape_of(x))}")
    rows = pad(x, (max(-k, 0), max(k, 0)))  # row i of the result has its element in column i + k
    return where(eye(shape_of(rows)[0], k=k, dtype=np.bool_), expand_dims(rows, 1), False)  # zero in every dtype


def diagflat(x: Any, /, k: int = 0) -> Any:
    """Diagonal matrix with the elements of ``x``, of any shape, on its k-th diagonal. See :func:`diag`."""
    return diag(flatten(x), k)


def block_diag(*arrays: Any) -> Any:
    """Block diagonal matrix, with zeros outside the blocks.

    Args:
        arrays: (M, N) each; a vector is a row, a number a matrix of one element.

    Raises:
        ValueError: an array has more than 2 dimensions.

    Example:
        >>> import minigrad as mg
        >>> mg.block_diag(mg.ones((1, 2)), mg.tensor(2.0))
        tensor([[1., 1., 0.],
                [0., 0., 2.]])
    """
    blocks = [atleast_2d(x) for x in arrays or ([],)]
    if any(len(shape_of(block)) > 2 for block in blocks):
        raise ValueError(f"arrays: expected at most 2 dimensions, got {[len(shape_of(block)) for block in blocks]}")
    ends = np.cumsum([shape_of(block)[1] for block in blocks]).tolist()
    rows = [
        pad(block, ((0, 0), (end - shape_of(block)[1], ends[-1] - end)))
        for block, end in zip(blocks, ends, strict=True)
    ]
    return concat(rows, axis=0)
