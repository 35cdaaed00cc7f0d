"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import expand_dims, flatten, matrix_transpose, reshape, squeeze
from minigrad.tensor import Array

__all__ = [
    "matmul",
]


@primitive(dtypes="numeric")
def _matmul(a: Array, b: Array, /) -> Array:
    if a.dtype.kind != "f":
        return np.matmul(a, b)
    return kernels.matmul(a, b)


_matmul.name = "matmul"
_matmul.vjp(a=lambda g, b: _matmul(g, matrix_transpose(b)), b=lambda g, a: _matmul(matrix_transpose(a), g))


def matmul(a: Any, b: Any) -> Any:
    """The matrix product over the last two axes: ``(…, M, K) @ (…, K, N)`` gives ``(…, M, N)``.

    Leading axes broadcast. A 1-d operand is a row on the left and a column on the right, and its axis disappears from
    the result. float32 and float64 run on this package's own kernel, transposed operands without a copy.

    Raises:
        ValueError: the inner sizes differ, or an operand has no axes.
    """
    rows, columns = np.ndim(a), np.ndim(b)
    if not rows or not columns:
        raise ValueError(f"matmul: expected operands with at least 1 dimension, got {np.shape(a)} and {np.shape(b)}")
    if np.shape(a)[-1] != np.shape(b)[-2 if columns > 1 else -1]:
        raise ValueError(f"matmul: the inner sizes of {np.shape(a)} and {np.shape(b)} differ")
    if rows > 2 and columns == 2:
        # One tall product instead of many small ones, and above all one for the gradient of b, not a sum of many.
        return reshape(_matmul(flatten(a, 0, -2), b), (*np.shape(a)[:-1], np.shape(b)[-1]))
    product = _matmul(expand_dims(a, 0) if rows == 1 else a, expand_dims(b, 1) if columns == 1 else b)
    if columns == 1:
        product = squeeze(product, -1)
    return squeeze(product, -1 if columns == 1 else -2) if rows == 1 else product
