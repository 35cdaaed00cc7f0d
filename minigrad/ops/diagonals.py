"""Diagonals and traces."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.engine.tensor import Array, Shape
from minigrad.ops.elementwise import astype
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import sum

__all__ = [
    "diagonal",
    "trace",
]


def _per_example(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Batching rule of functions of a pair of axes."""
    axes = {name: params[name] + depth * (params[name] >= 0) for name in ("axis1", "axis2")}
    if "shape" in params:
        axes["shape"] = (*arrays[0].shape[:depth], *params["shape"])
    return arrays, {**params, **axes}


@primitive(view=True, batching=_per_example)
def diagonal(x: Array, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Diagonal of ``x``: the elements whose index along ``axis2`` is that along ``axis1`` plus ``offset``.

    Args:
        x: (…, M, …, N, …), any dtype.
        offset: which diagonal: above the main one if positive, below it if negative.
        axis1, axis2: the rows and the columns of the matrices.

    Returns:
        The axes of ``x`` but for these two, and behind them the diagonal.

    Raises:
        ValueError: ``x`` has fewer than 2 dimensions, or the axes are the same.

    Example:
        >>> import minigrad as mg
        >>> mg.diagonal(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([1., 4.])
    """
    return np.diagonal(x, offset, axis1, axis2)


@primitive(batching=_per_example)
def _put_diagonal(g: Array, /, offset: int, axis1: int, axis2: int, shape: Shape) -> Array:
    """Transpose of :func:`diagonal`: zeros of ``shape`` with ``g`` on a diagonal."""
    out = np.zeros(shape, g.dtype)
    view = np.diagonal(out, offset, axis1, axis2)
    view.setflags(write=True)  # NumPy gives it read-only
    view[...] = g
    return out


diagonal.vjp(x=lambda g, x_shape, offset, axis1, axis2: _put_diagonal(g, offset, axis1, axis2, x_shape))
_put_diagonal.vjp(g=lambda g, offset, axis1, axis2: diagonal(g, offset, axis1, axis2))
_put_diagonal.name = "put_diagonal"


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: npt.DTypeLike | None = None) -> Any:
    """Trace: the sum along a diagonal, see :func:`diagonal`.

    Args:
        x: (…, M, …, N, …).
        offset, axis1, axis2: the diagonal, see :func:`diagonal`.
        dtype: of the sum. By default that of ``x``, but booleans and small integers add up as int64 (or uint64).

    Example:
        >>> import minigrad as mg
        >>> mg.trace(mg.eye(3))
        tensor(3.)
    """
    elements = diagonal(x, offset, axis1, axis2)
    if dtype is None:
        return sum(elements, axis=-1)
    return astype(sum(astype(elements, dtype), axis=-1), dtype)
