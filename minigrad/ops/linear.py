"""The affine map of a layer, ``x Wᵀ + b``, as one operation: what nearly all of a Transformer's time goes to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.primitive import primitive
from minigrad.ops.products import matmul
from minigrad.ops.shape import matrix_transpose

__all__ = ["linear"]


@primitive(dtypes="numeric")
def linear(x: Array, weight: Array, bias: Array | None = None, /) -> Array:
    """``x @ weightᵀ + bias``: (…, in), (out, in) and (out,) give (…, out).

    Compared with a product and a sum, the result is written once, and the gradient of the weight is one product over
    all leading axes together.
    """
    if x.dtype.kind != "f":
        product = np.matmul(x, weight.T)
        return product if bias is None else product + bias
    if x.ndim == 2 or not x.flags.c_contiguous:
        return kernels.matmul(x, weight.T, bias=bias)
    return kernels.matmul(_rows(x), weight.T, bias=bias).reshape(*x.shape[:-1], len(weight))


def _rows(x: Array) -> Array:
    """(…, n) as (N, n)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@linear.joint_vjp
def _linear_vjp(g: Array, x: Array, weight: Array, needs: tuple[bool, ...]) -> list[Array | None]:
    rows = _rows(g)
    return [
        kernels.matmul(g, weight) if needs[0] else None,
        kernels.matmul(rows.T, _rows(x)) if needs[1] else None,
        kernels.sum_rows(rows) if needs[2] else None,
    ]


@linear.composed
def _linear(x: Any, weight: Any, bias: Any) -> Any:
    product = matmul(x, matrix_transpose(weight))
    return product if bias is None else product + bias
