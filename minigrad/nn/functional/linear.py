"""Linear maps and bilinear forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Tensor
from minigrad.nn.quantized import QuantizedWeight
from minigrad.ops.autocast import autocast, product_precision
from minigrad.ops.operands import as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.products import matmul
from minigrad.ops.reductions import sum
from minigrad.ops.shape import expand_dims, matrix_transpose, reshape

__all__ = [
    "bilinear",
    "linear",
]


@primitive(dtypes="numeric")
def fused_linear(x: Array, weight: Array, bias: Array | None = None, /, precision: str | None = None) -> Array:
    """``x @ weightᵀ + bias`` with a matrix as the weight.

    Compared with a product and a sum, the result is written once, and the gradient of the weight is one product over
    all leading axes together.
    """
    if x.shape[-1:] != weight.shape[-1:]:
        raise ValueError(f"input: expected {weight.shape[-1]} features on the last axis, got shape {x.shape}")
    if bias is not None and bias.shape != weight.shape[:1] and bias.size == 1 and bias.ndim < 2:
        bias = np.broadcast_to(bias, weight.shape[:1])
    if x.dtype.kind != "f":
        product = np.matmul(x, weight.T)
        return product if bias is None else product + bias
    if x.ndim == 2 or not x.flags.c_contiguous:
        return kernels.matmul(x, weight.T, bias=bias, precision=precision)
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return kernels.matmul(rows, weight.T, bias=bias, precision=precision).reshape(*x.shape[:-1], len(weight))


@fused_linear.joint_vjp
def _linear_vjp(
    g: Array, x: Array, weight: Array, needs: tuple[bool, ...], precision: str | None
) -> list[Array | None]:
    count = math.prod(x.shape[:-1])
    rows = g.reshape(count, len(weight))
    return [
        kernels.matmul(rows, weight, precision=precision).reshape(x.shape) if needs[0] else None,
        kernels.matmul(rows.T, x.reshape(count, x.shape[-1]), precision=precision) if needs[1] else None,
        kernels.sum_rows(rows) if needs[2] else None,
    ]


@fused_linear.composed
def _linear(x: Any, weight: Any, bias: Any, precision: str | None = None) -> Any:
    with autocast(enabled=precision is not None):
        product = matmul(x, matrix_transpose(weight))
    return product if bias is None else product + bias


fused_linear.name = "linear"


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Affine map ``input @ weightᵀ + bias``: (…, in), (out, in) and (out,) give (…, out).

    A ``weight`` of shape (in,) gives (…); a ``bias`` of one number serves all features. The weight may be quantised:
    see :func:`minigrad.nn.quantize`.

    Raises:
        ValueError: the last axis of ``input`` is not as long as a row of ``weight``.

    Example:
        >>> linear([1.0, 2.0], [[1.0, 0.0], [1.0, 1.0]], [0.0, 0.5])
        tensor([1. , 3.5])
    """
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor))):
        if isinstance(weight, QuantizedWeight):
            return weight.linear(*as_operands("bias", input=input, bias=bias))
        input, weight, bias = as_operands("bias", input=input, weight=weight, bias=bias)
    if weight.ndim == 2:
        return fused_linear(input, weight, bias, product_precision.get())
    if weight.ndim != 1:
        raise ValueError(f"weight: expected (out, in) or (in,), got shape {weight.shape}")
    if input.shape[-1:] != weight.shape:
        raise ValueError(f"input: expected {weight.shape[-1]} features on the last axis, got shape {input.shape}")
    product = matmul(input, weight)
    return product if bias is None else product + bias


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """Bilinear form: xᵀ Wₖ y for each output k: (…, M), (…, N), (out, M, N) and (out,) give (…, out).

    Raises:
        ValueError: the shapes do not fit together.
    """
    x, y, weight, bias = as_operands("bias", input1=input1, input2=input2, weight=weight, bias=bias)
    if weight.ndim != 3 or (x.shape[-1:], y.shape[-1:]) != (weight.shape[1:2], weight.shape[2:]):
        raise ValueError(f"weight: expected (out, M, N) for inputs {x.shape} and {y.shape}, got {weight.shape}")
    out, left, right = weight.shape
    images = reshape(matmul(x, reshape(weight.transpose(1, 0, 2), (left, out * right))), (*x.shape[:-1], out, right))
    product = sum(images * expand_dims(y, -2), axis=-1)
    return product if bias is None else product + bias
