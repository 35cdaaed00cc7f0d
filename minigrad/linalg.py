"""Linear algebra: the Array API's ``linalg`` extension, and NumPy's ``norm``, ``cond``, ``lstsq`` and ``multi_dot``.

All functions work on the last two axes, over any leading ones (``norm`` and the vector functions on the axes given).

>>> import minigrad as mg
>>> x = mg.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
>>> mg.linalg.slogdet(x).logabsdet.backward()
>>> x.grad
tensor([[ 0.6, -0.2],
        [-0.2,  0.4]])
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from minigrad.ops import diagonals
from minigrad.ops.linalg.decompositions import cholesky, eigh, eigvalsh, qr, svd, svdvals
from minigrad.ops.linalg.inverses import det, inv, matrix_power, multi_dot, slogdet, solve
from minigrad.ops.linalg.norms import cond, matrix_norm, norm, vector_norm
from minigrad.ops.linalg.pseudoinverses import lstsq, matrix_rank, pinv
from minigrad.ops.products import cross, matmul, outer, tensordot, vecdot
from minigrad.ops.shape import matrix_transpose
from minigrad.pytorch_names import with_argument_hints

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Diagonals of matrices (…, M, N), over the last two axes; :func:`minigrad.diagonal` takes the first two.

    Example:
        >>> import minigrad as mg
        >>> mg.linalg.diagonal(mg.ones((5, 2, 3))).shape
        (5, 2)
    """
    return diagonals.diagonal(x, offset, axis1=-2, axis2=-1)


def trace(x: Any, /, *, offset: int = 0, dtype: npt.DTypeLike | None = None) -> Any:
    """Traces (…) of matrices (…, M, N), over the last two axes; for ``dtype`` see :func:`minigrad.trace`."""
    return diagonals.trace(x, offset, axis1=-2, axis2=-1, dtype=dtype)


globals().update({name: with_argument_hints(globals()[name], __name__) for name in __all__})
