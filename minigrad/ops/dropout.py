"""Dropout as an operation: what is dropped follows from a seed, so that the derivative can tell it again."""

from __future__ import annotations

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.primitive import primitive

__all__ = ["dropout"]


@primitive(dtypes="floating")
def dropout(x: Array, /, p: float, seed: int) -> Array:
    """Each element 0 with probability p, else divided by 1 - p; which ones follows from ``seed``. See the kernel."""
    return kernels.dropout(x, p, seed)


# Linear in x and its own transpose.
dropout.vjp(x=lambda g, p, seed: dropout(g, p, seed))
