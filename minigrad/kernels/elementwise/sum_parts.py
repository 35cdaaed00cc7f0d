"""Sum of a few arrays in a fixed order, in float64 and rounded once: of gradients that several processes computed."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_in_place, check_shape
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for

WORK = 2  # multiply-adds that one element costs about as much as
BLOCK = 1024  # elements whose float64 sums stay in the first-level cache


def sum_parts(parts: np.ndarray, out: np.ndarray) -> None:
    """Write ``parts[0] + parts[1] + …``, added up in float64, to ``out``.

    Args:
        parts: (N, n), float32 or float64, C-contiguous.
        out: (n,), of the same dtype, contiguous.

    >>> out = np.empty(2, np.float32)
    >>> sum_parts(np.array([[1, 2], [3e-8, 0], [3e-8, 0]], np.float32), out)
    >>> bool(out[0] > 1)
    True
    """
    check_floats(parts=parts, out=out)
    check_shape("out", out, parts.shape[1:])
    check_in_place("out", out)
    if out.size:
        _sum_parts(np.ascontiguousarray(parts), out, threads_for(WORK * parts.size))


@kernel()
def _sum_parts(parts, out, threads):
    in_parallel(threads, _sum_share, (parts, out))


@kernel()
def _sum_share(part, shares, parts, out):
    # parts: (N, n); out: (n,)
    left, right = share(len(out), part, shares)
    total = np.empty(BLOCK, np.float64)
    for first in range(left, right, BLOCK):
        last = min(first + BLOCK, right)
        sums = total[: last - first]
        sums[:] = parts[0, first:last]
        for row in range(1, len(parts)):
            source = parts[row, first:last]
            for i in range(len(sums)):
                sums[i] += source[i]
        target = out[first:last]
        for i in range(len(sums)):
            target[i] = sums[i]
