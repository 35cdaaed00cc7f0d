"""Matrix and tensor products, all of them in terms of one matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.arguments import as_integer, axis_index, axis_indices
from minigrad.ops.autocast import product_precision
from minigrad.ops.batching import aligned
from minigrad.ops.elementwise import multiply
from minigrad.ops.joining import concat
from minigrad.ops.operands import as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import expand_dims, flatten, matrix_transpose, moveaxis, permute_dims, reshape, squeeze

__all__ = [
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
]


@primitive(dtypes="numeric", batching=aligned)
def _matmul(a: Array, b: Array, /, precision: str | None = None) -> Array:
    if a.dtype.kind != "f":
        return np.matmul(a, b)
    return kernels.matmul(a, b, precision=precision)


@primitive(dtypes="numeric", batching=aligned)
def _vecdot(a: Array, b: Array, /) -> Array:
    return np.vecdot(a, b)


_matmul.name, _vecdot.name = "matmul", "vecdot"
_matmul.vjp(
    a=lambda g, b, precision: _matmul(g, matrix_transpose(b), precision),
    b=lambda g, a, precision: _matmul(matrix_transpose(a), g, precision),
)
_vecdot.vjp(a=lambda g, b: expand_dims(g, -1) * b, b=lambda g, a: expand_dims(g, -1) * a)


def matmul(x1: Any, x2: Any, /) -> Any:
    """Matrix product over the last two axes: ``(…, M, K) @ (…, K, N)`` gives ``(…, M, N)``.

    Leading axes broadcast. A 1-d operand is a row on the left and a column on the right, and its axis disappears from
    the result. float32 and float64 run on this package's own kernel, transposed operands without a copy.

    Raises:
        ValueError: the inner sizes differ, the leading axes do not broadcast, or an operand has no axes.

    Example:
        >>> import minigrad as mg
        >>> mg.matmul(mg.ones((2, 3)), mg.ones(3))
        tensor([3., 3.])
    """
    return product(x1, x2, product_precision.get())


def product(x1: Any, x2: Any, precision: str | None = None) -> Any:
    """:func:`matmul` in a precision of its own, whatever :class:`autocast` says."""
    if not (isinstance(x1, Tensor) and isinstance(x2, Tensor)):
        x1, x2 = as_operands(x1=x1, x2=x2)
    left, right = x1.shape, x2.shape
    if not left or not right:
        raise ValueError(f"matmul: expected operands with at least 1 dimension, got {left} and {right}")
    if left[-1] != right[-2 if len(right) > 1 else -1]:
        raise ValueError(f"matmul: the inner sizes of {left} and {right} differ")
    if len(left) > 2 and len(right) == 2:
        # One tall product instead of many small ones, and above all one for the gradient of b, not a sum of many.
        return reshape(_matmul(flatten(x1, 0, -2), x2, precision), (*left[:-1], right[-1]))
    row, column = len(left) == 1, len(right) == 1
    result = _matmul(expand_dims(x1, 0) if row else x1, expand_dims(x2, 1) if column else x2, precision)
    return squeeze(result, (-2,) * row + (-1,) * column) if row or column else result


def tensordot(x1: Any, x2: Any, /, axes: int | Sequence[Any] = 2) -> Any:
    """Tensor contraction: the sum of products over some axes of ``x1`` and ``x2``.

    Args:
        x1, x2: arrays of any shape.
        axes: N, for the last N axes of ``x1`` and the first N of ``x2``; or a pair, of the axes of ``x1`` and the
            axes of ``x2`` they meet, each an integer or a sequence of them.

    Returns:
        The remaining axes of ``x1``, then those of ``x2``.

    Raises:
        ValueError: the axes differ in number or in size.

    Example:
        >>> import minigrad as mg
        >>> mg.tensordot(mg.ones((2, 3, 4)), mg.ones((4, 3, 5)), axes=((1, 2), (1, 0))).shape
        (2, 5)
    """
    x1, x2 = as_operands(x1=x1, x2=x2)
    shapes = x1.shape, x2.shape
    if isinstance(axes, Sequence):
        if len(axes) != 2:
            raise ValueError(f"axes: expected an integer or a pair of sequences, got {axes}")
        left, right = (axis_indices(a, len(shape)) for a, shape in zip(axes, shapes, strict=True))
    else:
        if not 0 <= axes <= min(map(len, shapes)):
            raise ValueError(f"axes: expected 0 to {min(map(len, shapes))} for shapes {shapes}, got {axes}")
        left, right = tuple(range(len(shapes[0]) - axes, len(shapes[0]))), tuple(range(axes))
    if [shapes[0][a] for a in left] != [shapes[1][a] for a in right]:
        raise ValueError(f"axes: the contracted axes of {shapes[0]} and {shapes[1]} differ, got {axes}")
    free = [[a for a in range(len(shape)) if a not in met] for shape, met in zip(shapes, (left, right), strict=True)]
    rows, columns = ([shape[a] for a in rest] for shape, rest in zip(shapes, free, strict=True))
    inner = math.prod(shapes[0][a] for a in left)
    a = reshape(permute_dims(x1, (*free[0], *left)), (math.prod(rows), inner))
    b = reshape(permute_dims(x2, (*right, *free[1])), (inner, math.prod(columns)))
    return reshape(_matmul(a, b, product_precision.get()), (*rows, *columns))


def vecdot(x1: Any, x2: Any, /, axis: int = -1) -> Any:
    """Dot products of the vectors along ``axis``; the other axes broadcast.

    Args:
        x1, x2: (…, N, …), with N at ``axis``.
        axis: the axis of the vectors, in each operand by itself.

    Raises:
        ValueError: the vectors differ in length.

    Example:
        >>> import minigrad as mg
        >>> mg.vecdot(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([10.0, 1.0]))
        tensor([12., 34.])
    """
    x1, x2, axis = *as_operands(x1=x1, x2=x2), as_integer(axis, "axis")
    a, b = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"vecdot: the vectors of {x1.shape} and {x2.shape} along axis {axis} differ in length")
    return _vecdot(a, b)


def dot(x1: Any, x2: Any, /) -> Any:
    """NumPy's ``dot``: the sum over the last axis of ``x1`` and the last but one (or only) axis of ``x2``.

    Two vectors give their inner product, two matrices their matrix product; a number multiplies. Of operands with more
    axes every pair of vectors is multiplied, unlike in :func:`matmul`.
    """
    x1, x2 = as_operands(x1=x1, x2=x2)
    if not x1.ndim or not x2.ndim:
        return multiply(x1, x2)
    return tensordot(x1, x2, axes=(-1, -2 if x2.ndim > 1 else -1))


def inner(x1: Any, x2: Any, /) -> Any:
    """Inner product over the last axes: ``(…, N)`` and ``(***, N)`` give ``(…, ***)``; a number multiplies."""
    x1, x2 = as_operands(x1=x1, x2=x2)
    if not x1.ndim or not x2.ndim:
        return multiply(x1, x2)
    return tensordot(x1, x2, axes=(-1, -1))


def vdot(x1: Any, x2: Any, /) -> Any:
    """Dot product of all elements: both operands are flattened first."""
    x1, x2 = as_operands(x1=x1, x2=x2)
    return tensordot(flatten(x1), flatten(x2), axes=1)


def outer(x1: Any, x2: Any, /) -> Any:
    """Outer product: (M,) and (N,) give (M, N). Other shapes are flattened first."""
    x1, x2 = as_operands(x1=x1, x2=x2)
    return multiply(expand_dims(flatten(x1), 1), flatten(x2))


def kron(x1: Any, x2: Any, /) -> Any:
    """Kronecker product: every element of ``x1`` replaced by itself times ``x2``.

    Axes are aligned at the last; (M, N) and (P, Q) give (M · P, N · Q).

    Example:
        >>> import minigrad as mg
        >>> mg.kron(mg.tensor([1.0, 10.0]), mg.tensor([1.0, 2.0, 3.0]))
        tensor([ 1.,  2.,  3., 10., 20., 30.])
    """
    x1, x2 = as_operands(x1=x1, x2=x2)
    ndim = max(x1.ndim, x2.ndim)
    coarse, fine = ((1,) * (ndim - x.ndim) + x.shape for x in (x1, x2))
    product = multiply(
        reshape(x1, tuple(size for pair in zip(coarse, (1,) * ndim, strict=True) for size in pair)),
        reshape(x2, tuple(size for pair in zip((1,) * ndim, fine, strict=True) for size in pair)),
    )
    return reshape(product, tuple(m * p for m, p in zip(coarse, fine, strict=True)))


def cross(x1: Any, x2: Any, /, axis: int = -1) -> Any:
    """Cross products of the 3-vectors along ``axis``; the other axes broadcast.

    Raises:
        ValueError: an operand does not have size 3 along ``axis``.

    Example:
        >>> import minigrad as mg
        >>> mg.cross(mg.tensor([1.0, 0.0, 0.0]), mg.tensor([0.0, 1.0, 0.0]))
        tensor([0., 0., 1.])
    """
    x1, x2 = as_operands(x1=x1, x2=x2)
    for name, x in (("x1", x1), ("x2", x2)):
        if x.shape[axis_index(axis, x.ndim)] != 3:
            raise ValueError(f"{name}: expected 3 elements along axis {axis}, got shape {x.shape}")
    a, b = moveaxis(x1, axis, -1), moveaxis(x2, axis, -1)
    return moveaxis(_next(a * _next(b) - _next(a) * b), -1, axis)


def _next(x: Any) -> Any:
    """Cyclic shift: each component's successor, the first one after the last."""
    return concat([x[..., 1:], x[..., :1]], axis=-1)
