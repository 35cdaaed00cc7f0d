"""Norms of vectors and matrices.

At singular points PyTorch's convention holds: a norm has the gradient 0 at 0, and elements that tie for the largest or
smallest share the gradient evenly.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.arguments import reduced_axes
from minigrad.ops.batching import aligned, along_axis
from minigrad.ops.comparisons import isnan
from minigrad.ops.elementwise import abs, sign, where
from minigrad.ops.linalg.decompositions import svdvals
from minigrad.ops.linalg.inverses import as_matrices, as_square_matrices, inv
from minigrad.ops.operands import as_floats
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import Axis, max, min, sum
from minigrad.ops.shape import expand_dims, moveaxis, squeeze

__all__ = [
    "cond",
    "matrix_norm",
    "norm",
    "vector_norm",
]

MatrixOrder = Literal["fro", "nuc"] | float


def vector_norm(x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """Vector norm ``(Σ |x|^ord)^(1/ord)`` over some axes.

    Args:
        x: any shape. Integers become float32.
        axis: an axis, a tuple of axes, or None for all.
        keepdims: leave the axes in place, with size 1.
        ord: any number. inf and -inf give the largest and smallest absolute value, 0 counts what is not 0.

    Raises:
        ValueError: ``ord`` is not a number.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.vector_norm(mg.tensor([[3.0, 4.0], [0.0, 2.0]]), axis=1)
        tensor([5., 2.])
    """
    if not isinstance(ord, (int, float, np.number)):
        raise ValueError(f"ord: expected a number for vectors, got {ord!r}")
    x = _floating(x)
    axes = reduced_axes(axis, x.ndim)
    reduction = _VECTOR_NORMS.get(float(ord))
    total = _power_norm(x, axes, ord) if reduction is None else reduction(x, axes)
    return total if keepdims else squeeze(total, axes)


def _floating(x: Any) -> Any:
    return as_floats(x=x)[0]


@primitive(batching=along_axis)
def _euclidean_norm(x: Array, /, axis: tuple[int, ...]) -> Array:
    return _scaled(lambda x: np.sqrt(np.sum(x * x, axis=axis, keepdims=True)), x, axis, 2)


@primitive(batching=along_axis)
def _power_norm(x: Array, /, axis: tuple[int, ...], ord: float) -> Array:
    return _scaled(lambda x: np.sum(np.abs(x) ** ord, axis=axis, keepdims=True) ** (1 / ord), x, axis, ord)


def _scaled(norm: Callable[[Array], Array], x: Array, axis: tuple[int, ...], ord: float) -> Array:
    """Norm without overflow or underflow: x is scaled by a power of 2 near its dominant element."""
    size = np.abs(x)
    if ord > 0:
        extreme = np.max(size, axis, keepdims=True, initial=0)
    else:
        extreme = np.min(size, axis, keepdims=True, initial=np.inf)
    bound = float(np.finfo(x.dtype).max) ** (0.5 / builtins.max(builtins.abs(ord), 1))
    inside = (extreme < bound) & (extreme > 1 / bound)
    with np.errstate(divide="ignore"):  # of zeros to a negative power
        if inside.all():
            return norm(x)
        scale = np.ldexp(x.dtype.type(1), np.where(inside | ~np.isfinite(extreme), 0, np.frexp(extreme)[1] - 1))
        return norm(x / scale) * scale


def _power_norm_vjp(g: Any, out: Any, x: Any, ord: float) -> Any:
    """Derivative of a p-norm: sign(x) (|x| / norm)^(ord - 1), with 0 for elements that are 0 and for a norm of 0."""
    share = abs(where(x == 0, 1, x) / where(out == 0, 1, out))
    return g * where((x == 0) | (out == 0), 0, sign(x) * share ** (ord - 1))


_euclidean_norm.vjp(x=lambda g, out, x: g * (x / where(out == 0, np.inf, out)))
_power_norm.vjp(x=_power_norm_vjp)
_euclidean_norm.name = _power_norm.name = "vector_norm"


def _largest(x: Any, axis: tuple[int, ...], keepdims: bool = False) -> Any:
    """Largest of non-negative numbers, 0 if there are none."""
    count = math.prod(x.shape[a] for a in axis)
    return (max if count else sum)(x, axis=axis, keepdims=keepdims)


_VECTOR_NORMS: dict[float, Callable[[Any, tuple[int, ...]], Any]] = {
    np.inf: lambda x, axes: _largest(abs(x), axes, keepdims=True),
    -np.inf: lambda x, axes: min(abs(x), axis=axes, keepdims=True),
    0: lambda x, axes: sum(abs(sign(x)), axis=axes, keepdims=True),
    1: lambda x, axes: sum(abs(x), axis=axes, keepdims=True),
    2: _euclidean_norm,
}
_MATRIX_NORMS: dict[MatrixOrder, Callable[[Any], Any]] = {
    "fro": lambda x: vector_norm(x, axis=(-2, -1)),
    "nuc": lambda x: sum(svdvals(x), axis=-1),
    2: lambda x: _largest(svdvals(x), (-1,)),
    -2: lambda x: min(svdvals(x), axis=-1),
    1: lambda x: _largest(sum(abs(x), axis=-2), (-1,)),
    -1: lambda x: min(sum(abs(x), axis=-2), axis=-1),
    np.inf: lambda x: _largest(sum(abs(x), axis=-1), (-1,)),
    -np.inf: lambda x: min(sum(abs(x), axis=-1), axis=-1),
}


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: MatrixOrder = "fro") -> Tensor:
    """Matrix norm of matrices (…, M, N).

    Args:
        x: (…, M, N). Integers become float32.
        keepdims: leave the last two axes in place, with size 1.
        ord: "fro" for Frobenius' norm, the root of the sum of squares; "nuc" for the nuclear norm, the sum of the
            singular values; 2 and -2 for the largest and smallest singular value; 1 and -1 for the largest and
            smallest sum of absolute values in a column, inf and -inf in a row.

    Raises:
        ValueError: ``ord`` is none of these, or ``x`` has fewer than 2 dimensions.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.matrix_norm(mg.tensor([[1.0, -2.0], [3.0, 4.0]]), ord=1)
        tensor(6.)
    """
    x = _floating(as_matrices("x", x))
    if ord not in _MATRIX_NORMS:
        raise ValueError(f"ord: expected one of {', '.join(map(repr, _MATRIX_NORMS))} for matrices, got {ord!r}")
    total = _MATRIX_NORMS[ord](x)
    return expand_dims(total, (-2, -1)) if keepdims else total


def norm(x: Any, ord: MatrixOrder | None = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Norm of a vector or a matrix, by the number of axes: NumPy's ``norm``.

    Args:
        x: any shape. Integers become float32.
        ord: see :func:`vector_norm` and :func:`matrix_norm`; by default the root of the sum of squares.
        axis: one axis, of vectors, or two, of matrices' rows and columns; by default all axes of ``x``. Any number of
            axes if ``ord`` is None.
        keepdims: leave the axes in place, with size 1.

    Raises:
        ValueError: ``ord`` is not one for this number of axes, or there are neither one nor two.

    Example:
        >>> import minigrad as mg
        >>> mg.norm(mg.tensor([[3.0, 0.0], [0.0, 4.0]]))
        tensor(5.)
    """
    if ord is None:
        return vector_norm(x, axis=axis, keepdims=keepdims)
    x = _floating(x)
    axes = reduced_axes(axis, x.ndim)
    if len(axes) == 1 and not isinstance(ord, str):
        return vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ValueError(
            f"axis: expected two axes, of matrices, or for a number as ord one, got {axes} and ord={ord!r}"
        )
    total = matrix_norm(moveaxis(x, axes, (-2, -1)), ord=ord)
    return expand_dims(total, axes) if keepdims else total


def cond(x: Any, /, p: MatrixOrder | None = None) -> Tensor:
    """Condition numbers (…) of matrices (…, M, N): the norm times that of the inverse.

    Args:
        x: (…, M, N), square unless ``p`` is None, 2 or -2. Integers become float32.
        p: the order, see :func:`matrix_norm`. None and 2 divide the largest singular value by the smallest, -2 the
            smallest by the largest.

    Returns:
        (…), infinite for singular matrices (of ``p`` = -2: 0), NaN where a matrix has a NaN.
    """
    x = as_matrices("x", x)
    if p in (None, 2, -2):
        values = svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]
        return _quotient(smallest, largest) if p == -2 else _quotient(largest, smallest)
    singular = _is_singular(x)
    identity = np.eye(x.shape[-1], dtype=x.dtype)
    number = matrix_norm(x, ord=p) * matrix_norm(inv(where(singular[..., None, None], identity, x)), ord=p)
    return where(singular, np.inf, number)


def _quotient(a: Any, b: Any) -> Any:
    """Quotient a / b of condition numbers: infinite where b is 0, also for 0 / 0."""
    return where(b == 0, where(isnan(a), np.nan, np.inf), a / where(b == 0, 1, b))


@primitive(dtypes="floating", batching=aligned)
def _is_singular(x: Array, /) -> Array:
    """True if elimination meets a pivot of 0, so that there is no inverse."""
    return np.linalg.slogdet(as_square_matrices("x", x)).sign == 0
