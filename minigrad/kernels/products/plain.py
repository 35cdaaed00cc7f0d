"""Matrix product as three loops: the plain form, and the oracle of the blocked product's tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def matmul(a, b):
    """C = A B, each element an inner product: C[i, j] = Σₖ A[i, k] · B[k, j].

    Args:
        a: (M, K).
        b: (K, N), of the same dtype.

    Returns:
        (M, N).
    """
    rows, inner = a.shape
    columns = b.shape[1]
    c = np.zeros((rows, columns), a.dtype)
    for i in range(rows):
        for j in range(columns):
            for k in range(inner):
                c[i, j] += a[i, k] * b[k, j]
    return c
