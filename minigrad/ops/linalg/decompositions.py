"""Matrix decompositions by LAPACK: Cholesky, QR, eigenvalues of symmetric matrices, singular values.

All of them work on the last two axes, over any leading ones. The derivatives are those of the factors as functions of
the matrix; notation and formulas follow Giles, *An extended collection of matrix derivative results for forward and
reverse mode algorithmic differentiation* (2008), and Walter and Lehmann, *Algorithmic Differentiation of Linear Algebra
Functions with Application in Optimum Experimental Design* (2010).

Eigenvectors and singular vectors are determined but for a sign (or, where values are equal, a rotation), and so is
their derivative: a function of them has one if it does not change with that choice. Where two eigenvalues or two
singular values are equal, vectors have no derivative and theirs is infinite or NaN; values have one.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.ops.batching import aligned
from minigrad.ops.elementwise import add, where
from minigrad.ops.joining import concat
from minigrad.ops.linalg.inverses import as_matrices, as_square_matrices, solve
from minigrad.ops.primitive import primitive
from minigrad.ops.products import product as matmul
from minigrad.ops.shape import expand_dims, matrix_transpose

__all__ = [
    "cholesky",
    "eigh",
    "eigvalsh",
    "qr",
    "svd",
    "svdvals",
]


class QRResult(NamedTuple):
    """QR decomposition ``x = Q @ R``."""

    Q: Tensor  # (…, M, K), orthonormal columns
    R: Tensor  # (…, K, N), upper triangular


class EighResult(NamedTuple):
    """Eigendecomposition ``x @ eigenvectors = eigenvectors * eigenvalues``."""

    eigenvalues: Tensor  # (…, N), ascending
    eigenvectors: Tensor  # (…, N, N), in columns


class SVDResult(NamedTuple):
    """Singular value decomposition ``x = U @ diag(S) @ Vh``."""

    U: Tensor  # (…, M, K), left singular vectors in columns
    S: Tensor  # (…, K), descending
    Vh: Tensor  # (…, K, N), right singular vectors in rows


def cholesky(x: Any, /, *, upper: bool = False) -> Tensor:
    """Cholesky factor of positive definite matrices: ``x = L @ L.mT``.

    Args:
        x: (…, N, N), symmetric; of others the symmetric part ``(x + x.mT) / 2`` is taken. Integers become float32.
        upper: give ``L.mT`` instead of ``L``.

    Returns:
        (…, N, N), lower (or upper) triangular with a positive diagonal. The gradient of ``x`` is symmetric.

    Raises:
        ValueError: ``x`` is not square.
        numpy.linalg.LinAlgError: (a ValueError) a matrix is not positive definite.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.cholesky(mg.tensor([[4.0, 2.0], [2.0, 2.0]]))
        tensor([[2., 0.],
                [1., 1.]])
    """
    factor = _cholesky(_symmetric(x))
    return matrix_transpose(factor) if upper else factor


@primitive(dtypes="floating", batching=aligned)
def _cholesky(x: Array, /) -> Array:
    return np.linalg.cholesky(x)


@_cholesky.joint_vjp
def _cholesky_vjp(g: Any, out: Any) -> list[Any]:
    """L⁻ᵀ Φ(Lᵀ g) L⁻¹, where Φ takes the lower triangle and half of the diagonal (Giles, section 4)."""
    size = out.shape[-1]
    transposed = matrix_transpose(out)
    inner = matmul(transposed, g) * (np.tri(size, dtype=out.dtype) - np.eye(size, dtype=out.dtype) / 2)
    return [matrix_transpose(solve(transposed, matrix_transpose(solve(transposed, inner))))]


_cholesky.name = "cholesky"


# Eigenvalues


def eigh(x: Any, /, UPLO: Literal["L", "U"] | None = None) -> EighResult:
    """Eigenvalues and eigenvectors of symmetric matrices.

    Args:
        x: (…, N, N), symmetric; of others the symmetric part ``(x + x.mT) / 2`` is taken. Integers become float32.
        UPLO: take the matrix whose lower ("L") or upper ("U") triangle ``x`` has, instead.

    Returns:
        ``eigenvalues`` (…, N), ascending, and ``eigenvectors`` (…, N, N), orthonormal columns.

    Raises:
        ValueError: ``x`` is not square, or ``UPLO`` is something else.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.eigh(mg.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
        tensor([1., 2.])
    """
    symmetric = _symmetric(x, UPLO)
    values, vectors = _eigh(symmetric)
    return EighResult(_eigenvalues(symmetric, values, vectors), vectors)


def eigvalsh(x: Any, /, UPLO: Literal["L", "U"] | None = None) -> Tensor:
    """Eigenvalues of symmetric matrices, ascending: (…, N) of (…, N, N). See :func:`eigh`."""
    return eigh(x, UPLO).eigenvalues


def _symmetric(x: Any, triangle: Literal["L", "U"] | None = None) -> Any:
    """Symmetric part of a matrix, or the symmetric matrix with one of its triangles."""
    x = as_square_matrices("x", x)
    if triangle is None:
        half = x / 2
        return add(half, matrix_transpose(half))
    if triangle not in ("L", "U"):
        raise ValueError(f"UPLO: expected 'L', 'U' or None, got {triangle!r}")
    lower, upper = (x, matrix_transpose(x)) if triangle == "L" else (matrix_transpose(x), x)
    return where(np.tri(x.shape[-1], dtype=np.bool_), lower, upper)


@primitive(dtypes="floating", batching=aligned)
def _eigh(x: Array, /) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(x)
    return values, vectors


@_eigh.joint_vjp
def _eigh_vjp(g: Any, out: Any) -> list[Any]:
    """V (diag(gλ) + Vᵀ gV / (λⱼ - λᵢ)) Vᵀ (Giles, section 3.1)."""
    (g_values, g_vectors), (values, vectors) = g, out
    turn = matmul(matrix_transpose(vectors), g_vectors) / _differences(values)
    return [matmul(vectors * expand_dims(g_values, -2) + matmul(vectors, turn), matrix_transpose(vectors))]


def _differences(values: Any) -> Any:
    """vⱼ - vᵢ; infinite on the diagonal."""
    same = np.eye(values.shape[-1], dtype=np.bool_)
    return where(same, np.inf, expand_dims(values, -2) - expand_dims(values, -1))


# Values and vectors come from different nodes: what uses the values only must not meet the vectors' derivative, which
# is not finite where values are equal.


def _whole(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Batching rule of functions with a precomputed array of the whole batch."""
    return arrays, params


@primitive(batching=_whole)
def _eigenvalues(x: Array, values: Array, vectors: Array, /) -> Array:
    """Precomputed eigenvalues, as a function of the matrix."""
    return values


@primitive(batching=_whole)
def _singular_values(x: Array, u: Array, values: Array, vh: Array, /) -> Array:
    """Precomputed singular values, as a function of the matrix."""
    return values


_eigenvalues.vjp(x=lambda g, vectors: matmul(vectors * expand_dims(g, -2), matrix_transpose(vectors)))
_singular_values.vjp(x=lambda g, u, vh: matmul(u * expand_dims(g, -2), vh))


# Singular values


def svd(x: Any, /, full_matrices: bool = True) -> SVDResult:
    """Singular value decomposition.

    Args:
        x: (…, M, N). Integers become float32.
        full_matrices: complete ``U`` to (…, M, M) and ``Vh`` to (…, N, N). What completes them is arbitrary, and its
            cotangent is ignored.

    Returns:
        ``U`` (…, M, K), ``S`` (…, K), descending, and ``Vh`` (…, K, N), where K = min(M, N).

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.svd(mg.tensor([[0.0, 3.0], [2.0, 0.0]])).S
        tensor([3., 2.])
    """
    x = as_matrices("x", x)
    u, values, vh = _svd(x, full_matrices)
    count = min(x.shape[-2:])
    return SVDResult(u, _singular_values(x, u[..., :count], values, vh[..., :count, :]), vh)


def svdvals(x: Any, /) -> Tensor:
    """Singular values, descending: (…, min(M, N)) of (…, M, N)."""
    return svd(x, full_matrices=False).S


@primitive(dtypes="floating", batching=aligned)
def _svd(x: Array, /, full_matrices: bool) -> tuple[Array, Array, Array]:
    u, values, vh = np.linalg.svd(x, full_matrices)
    return u, values, vh


@_svd.joint_vjp
def _svd_vjp(g: Any, out: Any, x_shape: Shape) -> list[Any]:
    """U (J S + S K + diag(gS)) Vᵀ, where J and K are the antisymmetric parts of Uᵀ gU and Vᵀ gV over (s²ⱼ - s²ᵢ), and

    the parts of gU and gV outside the spans of U and V, over S (Townsend, Differentiating the SVD, 2016).
    """
    rows, columns = x_shape[-2:]
    count = min(rows, columns)
    (gu, gs, gv), (u, s, v) = ((a[..., :count], b, matrix_transpose(c[..., :count, :])) for a, b, c in (g, out))
    across, down = expand_dims(s, -2), expand_dims(s, -1)
    turn_u, turn_v = (
        _antisymmetric(matmul(matrix_transpose(a), b)) / _differences(s) / (across + down)
        for a, b in ((u, gu), (v, gv))
    )
    inner = turn_u * across + down * turn_v
    left = matmul(u, inner) + u * expand_dims(gs, -2)
    if rows > count:
        left = left + _outside(u, gu) / across
    gradient = matmul(left, matrix_transpose(v))
    if columns > count:
        gradient = gradient + matmul(u, matrix_transpose(_outside(v, gv) / across))
    return [gradient]


def _antisymmetric(x: Any) -> Any:
    return x - matrix_transpose(x)


def _outside(basis: Any, x: Any) -> Any:
    """Orthogonal complement: the columns of ``x`` minus their projection onto an orthonormal basis."""
    return x - matmul(basis, matmul(matrix_transpose(basis), x))


# QR


def qr(x: Any, /, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """QR decomposition: a matrix with orthonormal columns times an upper triangular one.

    Args:
        x: (…, M, N). Integers become float32.
        mode: "reduced": Q is (…, M, K) and R (…, K, N), with K = min(M, N). "complete": K = M; without a derivative
            where M > N, because the additional columns are arbitrary.

    Raises:
        ValueError: ``mode`` is something else; in the backward pass, there is no derivative.
        numpy.linalg.LinAlgError: (a ValueError) in the backward pass, the first K columns are linearly dependent.

    Example:
        >>> import minigrad as mg
        >>> Q, R = mg.linalg.qr(mg.ones((3, 2)))
        >>> Q.shape, R.shape
        ((3, 2), (2, 2))
    """
    x = as_matrices("x", x)
    if mode not in ("reduced", "complete"):
        raise ValueError(f"mode: expected 'reduced' or 'complete', got {mode!r}")
    rows, columns = x.shape[-2:]
    if rows >= columns:
        return QRResult(*(_complete_qr(x) if mode == "complete" and rows > columns else _qr(x)))
    # The first columns determine Q, and with it the rest of R.
    q, r = _qr(x[..., :rows])
    return QRResult(q, concat([r, matmul(matrix_transpose(q), x[..., rows:])], axis=-1))


@primitive(dtypes="floating", batching=aligned)
def _qr(x: Array, /) -> tuple[Array, Array]:
    q, r = np.linalg.qr(x)
    return q, r


@_qr.joint_vjp
def _qr_vjp(g: Any, out: Any) -> list[Any]:
    """(gQ + Q copyltu(R gRᵀ - gQᵀ Q)) R⁻ᵀ (Walter and Lehmann)."""
    (gq, gr), (q, r) = g, out
    inner = matmul(r, matrix_transpose(gr)) - matmul(matrix_transpose(gq), q)
    mirrored = _symmetric(inner, "L")
    return [matrix_transpose(solve(r, matrix_transpose(gq + matmul(q, mirrored))))]


@primitive(dtypes="floating", batching=aligned)
def _complete_qr(x: Array, /) -> tuple[Array, Array]:
    q, r = np.linalg.qr(x, "complete")
    return q, r


@_complete_qr.joint_vjp
def _complete_qr_vjp(x_shape: Shape) -> list[Any]:
    raise ValueError(f"qr: mode='complete' has no derivative for more rows than columns, got shape {x_shape}")


_eigh.name, _eigenvalues.name = "eigh", "eigvalsh"
_svd.name, _singular_values.name = "svd", "svdvals"
_qr.name = _complete_qr.name = "qr"
