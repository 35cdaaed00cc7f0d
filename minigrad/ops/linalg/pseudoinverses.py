"""Pseudo-inverses and least squares: matrices of any shape and rank, over the last two axes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.batching import aligned
from minigrad.ops.elementwise import square
from minigrad.ops.linalg.decompositions import svdvals
from minigrad.ops.linalg.inverses import as_matrices
from minigrad.ops.operands import as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.products import product as matmul
from minigrad.ops.reductions import sum
from minigrad.ops.shape import matrix_transpose

__all__ = [
    "lstsq",
    "matrix_rank",
    "pinv",
]


def pinv(x: Any, /, rtol: float | Array | None = None) -> Tensor:
    """Moore-Penrose pseudo-inverses (…, N, M) of matrices (…, M, N).

    Args:
        x: (…, M, N). Integers become float32.
        rtol: singular values at most this part of the largest count as zero; by default max(M, N) times the dtype's
            epsilon. A number, or an array (…).

    The derivative is that among matrices of the same rank (Golub and Pereyra, *The differentiation of pseudo-inverses
    and nonlinear least squares problems whose variables separate*, 1973, equation 4.12).

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.pinv(mg.tensor([[2.0, 0.0], [0.0, 0.0]]))
        tensor([[0.5, 0. ],
                [0. , 0. ]])
    """
    return _pinv(as_matrices("x", x), rtol)


@primitive(dtypes="floating", batching=aligned)
def _pinv(x: Array, /, rtol: float | Array | None) -> Array:
    return np.linalg.pinv(x, _tolerance(x, rtol))


@_pinv.joint_vjp
def _pinv_vjp(g: Any, out: Any, x: Any) -> list[Any]:
    turned, g_turned = matrix_transpose(out), matrix_transpose(g)
    gradient = -matmul(matmul(turned, g), turned)
    left = matmul(g_turned, matmul(out, turned))
    right = matmul(matmul(turned, out), g_turned)
    return [gradient + left - matmul(x, matmul(out, left)) + right - matmul(matmul(right, out), x)]


_pinv.name = "pinv"


def _tolerance(x: Array, rtol: float | Array | None) -> Any:
    """Relative tolerance below which a singular value counts as zero."""
    return (
        max(x.shape[-2:]) * np.finfo(x.dtype).eps
        if rtol is None
        else rtol.numpy()
        if isinstance(rtol, Tensor)
        else np.asarray(rtol)
    )


@primitive(dtypes="floating", batching=aligned)
def matrix_rank(x: Array, /, *, rtol: float | Array | None = None) -> Array:
    """Rank of matrices (…, M, N): the number of non-zero singular values (…). For ``rtol`` see :func:`pinv`."""
    values = np.linalg.svd(as_matrices("x", x), compute_uv=False)
    least = values.max(axis=-1, initial=0) * _tolerance(x, rtol)
    return np.count_nonzero(values > least[..., None], axis=-1)


class LstsqResult(NamedTuple):
    """Least-squares result: ``x1 @ solution ≈ x2``."""

    solution: Tensor  # (…, N) or (…, N, K)
    residuals: Tensor  # (…) or (…, K), sums of squares
    rank: Tensor  # (…), integers
    singular_values: Tensor  # (…, min(M, N)), descending


def lstsq(x1: Any, x2: Any, /, rtol: float | Array | None = None) -> LstsqResult:
    """Least-squares solution y of ``x1 @ y = x2``; the one of minimum norm where it is not unique.

    Args:
        x1: (…, M, N), of any rank. Integers become float32.
        x2: (M,), or (…, M, K) for K right-hand sides.
        rtol: see :func:`pinv`, through which the solution and its derivative go.

    Returns:
        ``solution`` (…, N) or (…, N, K); ``residuals`` (…) or (…, K), the sums of squared residuals of
        ``x2`` (NumPy leaves them out unless M > N and the rank is N); ``rank`` and ``singular_values`` of ``x1``.

    Example:
        >>> import minigrad as mg
        >>> line = mg.linalg.lstsq(mg.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), mg.tensor([1.0, 3.0, 5.0]))
        >>> mg.round(line.solution)
        tensor([2., 1.])
    """
    x1, x2 = as_operands(x1=as_matrices("x1", x1), x2=x2)
    solution = matmul(pinv(x1, rtol), x2)
    residuals = sum(square(matmul(x1, solution) - x2), axis=-1 if x2.ndim == 1 else -2)
    return LstsqResult(solution, residuals, matrix_rank(x1, rtol=rtol), svdvals(x1))
