"""Linear maps, bilinear forms and look-ups in a table."""

from __future__ import annotations

from typing import Any

from minigrad.engine.tensor import Tensor
from minigrad.ops import linear as affine
from minigrad.ops.arguments import as_integer
from minigrad.ops.elementwise import where
from minigrad.ops.indexing import take_rows
from minigrad.ops.operands import as_operands
from minigrad.ops.products import matmul
from minigrad.ops.reductions import sum
from minigrad.ops.shape import broadcast_to, expand_dims, reshape

__all__ = [
    "bilinear",
    "embedding",
    "linear",
]


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """``input @ weightᵀ + bias``: (…, in), (out, in) and (out,) give (…, out).

    A ``weight`` of shape (in,) gives (…).

    Raises:
        ValueError: the last axis of ``input`` is not as long as a row of ``weight``.
    """
    x, weight, bias = as_operands("bias", input=input, weight=weight, bias=bias)
    if weight.ndim not in (1, 2):
        raise ValueError(f"weight: expected (out, in) or (in,), got shape {weight.shape}")
    if x.shape[-1:] != weight.shape[-1:]:
        raise ValueError(f"input: expected {weight.shape[-1]} features on the last axis, got shape {x.shape}")
    if weight.ndim == 2:
        if bias is not None and bias.shape in ((), (1,)):
            bias = broadcast_to(bias, weight.shape[:1])
        return affine.linear(x, weight, bias)
    product = matmul(x, weight)
    return product if bias is None else product + bias


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """xᵀ Wₖ y for each output k: (…, M), (…, N), (out, M, N) and (out,) give (…, out).

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


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight`` (count, D) at integer ``input`` (…): (…, D).

    Args:
        input: integers in [0, count).
        weight: the table.
        padding_idx: a row that gets no gradient; negative counts from the end.

    Raises:
        TypeError: ``input`` is not made of integers.
        IndexError: an index or ``padding_idx`` is outside the table.
        ValueError: ``weight`` is not a matrix.
    """
    indices, weight = as_operands(input=input, weight=weight)
    if weight.ndim != 2:
        raise ValueError(f"weight: expected shape (count, D), got {weight.shape}")
    rows = take_rows(weight, indices)
    if padding_idx is None:
        return rows
    padding_idx = as_integer(padding_idx, "padding_idx")
    if not -len(weight) <= padding_idx < len(weight):
        raise IndexError(f"padding_idx: expected a row of {len(weight)}, got {padding_idx}")
    return where(expand_dims(indices == padding_idx % len(weight), -1), rows.detach(), rows)
