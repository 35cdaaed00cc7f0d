"""Determinants, inverses and linear solves, over the last two axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.arguments import all_beside, as_integer, shape_of
from minigrad.ops.batching import aligned
from minigrad.ops.diagonals import diagonal
from minigrad.ops.einsum import einsum
from minigrad.ops.elementwise import where
from minigrad.ops.operands import as_operand, as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.products import product as matmul
from minigrad.ops.reductions import sum
from minigrad.ops.shape import expand_dims, matrix_transpose, squeeze

__all__ = [
    "det",
    "inv",
    "matrix_power",
    "multi_dot",
    "slogdet",
    "solve",
]


def as_matrices(name: str, x: Any) -> Any:
    """Convert ``x`` to matrices; an error unless it has rows and columns."""
    x = x if isinstance(x, np.ndarray) else as_operand(x, name)
    if x.ndim < 2:
        raise ValueError(f"{name}: expected matrices (…, M, N), got shape {x.shape}")
    return x


def as_square_matrices(name: str, x: Any) -> Any:
    """Convert ``x`` to square matrices; an error unless it has as many rows as columns."""
    x = x if isinstance(x, np.ndarray) else as_operand(x, name)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{name}: expected square matrices (…, N, N), got shape {x.shape}")
    return x


# Determinants


class SlogdetResult(NamedTuple):
    """Sign and log of the determinant: ``det(x) = sign * exp(logabsdet)``."""

    sign: Tensor  # (…), -1, 0 or 1
    logabsdet: Tensor  # (…), -inf where the determinant is 0


@primitive(dtypes="floating", batching=aligned)
def det(x: Array, /) -> Array:
    """Determinants (…) of square matrices (…, N, N).

    First and second derivatives are exact also where a matrix is singular, of whatever rank; higher ones need an
    invertible matrix.

    Raises:
        ValueError: ``x`` is not square.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
        >>> mg.linalg.det(x).backward()
        >>> x.grad
        tensor([[ 4., -2.],
                [-2.,  1.]])
    """
    return np.linalg.det(as_square_matrices("x", x))


# With x = U diag(s) Vᵀ, det(x + E) = ± det(diag(s) + F), where F = Uᵀ E V. Its derivatives in F are products of the
# singular values that are left when one or two of them are taken out: no division.


@primitive(batching=aligned)
def _cofactors(x: Array, /) -> Array:
    """Cofactor matrix, the derivative of the determinant: the transposed adjugate, (…, N, N)."""
    sign, u, s, vh = _oriented_svd(x)
    return sign * np.matmul(u * (_before(s) * _after(s))[..., None, :], vh)


@primitive(batching=aligned)
def _cofactors_along(x: Array, e: Array, /) -> Array:
    """Derivative of the cofactor matrix along ``e``, the determinant's second derivative, (…, N, N)."""
    sign, u, s, vh = _oriented_svd(x)
    f = np.matmul(np.matmul(np.swapaxes(u, -1, -2), e), np.swapaxes(vh, -1, -2))
    later = np.where(np.tri(s.shape[-1], dtype=np.bool_), 1, s[..., None, :])
    without_two = np.triu(_before(s)[..., :, None] * _before(later) * _after(s)[..., None, :], 1)
    without_two = without_two + np.swapaxes(without_two, -1, -2)
    inner = -without_two * np.swapaxes(f, -1, -2)
    places = np.arange(s.shape[-1])
    inner[..., places, places] = np.matmul(without_two, np.diagonal(f, axis1=-2, axis2=-1)[..., None])[..., 0]
    return sign * np.matmul(np.matmul(u, inner), vh)


def _oriented_svd(x: Array) -> tuple[Array, Array, Array, Array]:
    u, s, vh = np.linalg.svd(x)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return sign, u, s, vh


def _before(s: Array) -> Array:
    """Exclusive cumulative product from the front."""
    return np.cumprod(np.concatenate([np.ones_like(s[..., :1]), s[..., :-1]], axis=-1), axis=-1)


def _after(s: Array) -> Array:
    """Exclusive cumulative product from the back."""
    return np.flip(_before(np.flip(s, -1)), -1)


def _third_derivative(g: Any, x: Any, e: Any) -> Any:
    """Second derivative of the cofactors, along ``e`` and ``g``; for invertible matrices."""
    inverse = inv(x)
    along_e, along_g = matmul(inverse, e), matmul(inverse, g)
    both = matmul(along_e, along_g)
    trace_e, trace_g, trace_both = (_last_axes(_trace(a)) for a in (along_e, along_g, both))
    identity = np.eye(shape_of(x)[-1], dtype=np.bool_)
    inner = both + matmul(along_g, along_e) - trace_g * along_e - trace_e * along_g
    inner = inner + (trace_e * trace_g - trace_both) * identity
    return _last_axes(det(x)) * matrix_transpose(matmul(inner, inverse))


def _trace(x: Any) -> Any:
    return sum(diagonal(x, 0, -2, -1), axis=-1)


def _last_axes(x: Any) -> Any:
    """Expand scalars (…) to multiply matrices (…, M, N)."""
    return expand_dims(x, (-2, -1))


det.vjp(x=lambda g, x: _last_axes(g) * _cofactors(x))
_cofactors.vjp(x=lambda g, x: _cofactors_along(x, g))  # second derivatives are symmetric
_cofactors_along.vjp(e=lambda g, x: _cofactors_along(x, g), x=_third_derivative)
_cofactors.name, _cofactors_along.name = "cofactors", "cofactors_along"


def slogdet(x: Any, /) -> SlogdetResult:
    """Sign of the determinant and logarithm of its absolute value, without overflow or underflow.

    Args:
        x: (…, N, N). Integers become float32.

    Returns:
        ``sign`` and ``logabsdet``, both (…).

    Raises:
        ValueError: ``x`` is not square.
        numpy.linalg.LinAlgError: (a ValueError) in the backward pass, a matrix is singular.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.slogdet(mg.tensor([[-1.0, 0.0], [0.0, 1.0]]))
        SlogdetResult(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    return SlogdetResult(*_slogdet(x))


@primitive(dtypes="floating", batching=aligned)
def _slogdet(x: Array, /) -> tuple[Array, Array]:
    sign, logarithm = np.linalg.slogdet(as_square_matrices("x", x))
    return sign, logarithm


@_slogdet.joint_vjp
def _slogdet_vjp(g: Any, x: Any) -> list[Any]:
    return [_last_axes(g[1]) * matrix_transpose(inv(x))]


_slogdet.name = "slogdet"

# Inverses and equations


@primitive(dtypes="floating", batching=aligned)
def inv(x: Array, /) -> Array:
    """Inverses of square matrices (…, N, N).

    Raises:
        ValueError: ``x`` is not square.
        numpy.linalg.LinAlgError: (a ValueError) a matrix is singular.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.inv(mg.tensor([[2.0, 0.0], [0.0, 4.0]]))
        tensor([[0.5 , 0.  ],
                [0.  , 0.25]])
    """
    return np.linalg.inv(as_square_matrices("x", x))


inv.vjp(x=lambda g, out: -matmul(matmul(matrix_transpose(out), g), matrix_transpose(out)))


def solve(x1: Any, x2: Any, /) -> Tensor:
    """Solution y of the linear equations ``x1 @ y = x2``.

    Args:
        x1: (…, N, N), invertible.
        x2: (N,), one vector; or (…, N, K), K of them in columns. Leading axes broadcast.

    Returns:
        (…, N) for a 1-d ``x2``, else (…, N, K).

    Raises:
        ValueError: ``x1`` is not square, or the shapes do not fit.
        numpy.linalg.LinAlgError: (a ValueError) a matrix is singular.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.solve(mg.tensor([[2.0, 0.0], [0.0, 4.0]]), mg.tensor([1.0, 1.0]))
        tensor([0.5 , 0.25])
    """
    x1, x2 = as_operands(x1=x1, x2=x2)
    x1 = as_square_matrices("x1", x1)
    columns = expand_dims(x2, -1) if x2.ndim == 1 else x2
    if x2.ndim < 1 or columns.shape[-2] != x1.shape[-1]:
        raise ValueError(f"x2: expected {x1.shape[-1]} rows as x1 has, got shape {x2.shape}")
    solution = _solve(x1, columns)
    return squeeze(solution, -1) if x2.ndim == 1 else solution


@primitive(dtypes="floating", batching=aligned)
def _solve(a: Array, b: Array, /) -> Array:
    return np.linalg.solve(a, b)


_solve.vjp(
    a=lambda g, a, out: -matmul(_solve(matrix_transpose(a), g), matrix_transpose(out)),
    b=lambda g, a: _solve(matrix_transpose(a), g),
)
_solve.name = "solve"


# Matrix powers and chains


def matrix_power(x: Any, n: int, /) -> Tensor:
    """Matrix power: square matrices (…, N, N) to the integer power ``n``; a negative ``n`` uses the inverse.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.matrix_power(mg.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
        tensor([[1., 5.],
                [0., 1.]])
    """
    x, n = as_operand(as_square_matrices("x", x)), as_integer(n, "n")
    if n == 0:
        # The identity, but as a function of x: its gradient is zero.
        return where(np.ones((), np.bool_), np.eye(x.shape[-1], dtype=x.dtype), x)
    square = inv(x) if n < 0 else x
    # From the highest bit of n downwards: x to the power of the bits read so far.
    power = square
    for bit in f"{abs(n):b}"[1:]:
        power = matmul(power, power)
        if bit == "1":
            power = matmul(power, square)
    return power


def multi_dot(arrays: Sequence[Any]) -> Tensor:
    """Matrix product of two or more arrays, in a greedily chosen order.

    Args:
        arrays: 2-d, of shapes that chain; the first and the last may be 1-d, a row and a column.

    Raises:
        ValueError: there are fewer than two, or their shapes do not chain.
    """
    if len(arrays) < 2:
        raise ValueError(f"arrays: expected at least two, got {len(arrays)}")
    arrays = all_beside(arrays)
    shapes = [x.shape for x in arrays]
    allowed = [(1, 2), *[(2,)] * (len(arrays) - 2), (1, 2)]
    chain = [size for shape in shapes for size in (shape if len(shape) > 1 else shape * 2)][1:-1]
    if any(len(shape) not in ndims for shape, ndims in zip(shapes, allowed, strict=True)) or chain[::2] != chain[1::2]:
        raise ValueError(f"arrays: expected matrices whose shapes chain, a vector at the ends only, got {shapes}")
    ends = [0] * (len(shapes[0]) > 1), [len(arrays)] * (len(shapes[-1]) > 1)
    operands: list[Any] = []
    for place, x in enumerate(arrays):
        labels = [place, place + 1]
        operands += [x, labels[-x.ndim :] if place == 0 else labels[: x.ndim]]
    return einsum(*operands, [*ends[0], *ends[1]])
