"""Distances and similarities of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine.tensor import Tensor
from minigrad.ops.elementwise import clip, where
from minigrad.ops.linalg.norms import vector_norm
from minigrad.ops.operands import as_floats
from minigrad.ops.reductions import sum
from minigrad.ops.shape import broadcast_to

__all__ = [
    "cosine_similarity",
    "normalize",
    "pairwise_distance",
]


def at_least(x: Tensor, floor: float) -> Tensor:
    """Lower bound: x, but ``floor`` where it is less; the gradient passes everywhere."""
    return where(x < floor, floor + (x - x.detach()), x)


def normalize(input: Any, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Tensor:
    """p-normalization: vectors along ``axis`` divided by their p-norm, or by ``eps`` where that is more."""
    (x,) = as_floats(input=input)
    return x / clip(vector_norm(x, axis=axis, keepdims=True, ord=p), min=eps)


def cosine_similarity(x1: Any, x2: Any, axis: int = 1, eps: float = 1e-8) -> Tensor:
    """Cosine similarity: the cosine of the angle between vectors along ``axis``; a norm below ``eps`` counts as that.

    Args:
        x1, x2: arrays that broadcast against each other.
        axis: of the broadcast result, which loses it.
        eps: the least norm.
    """
    x, y = as_floats(x1=x1, x2=x2)
    along = None if not x.ndim and not y.ndim else axis
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = (broadcast_to(v, shape) for v in (x, y))
    x, y = (v / at_least(vector_norm(v, axis=axis, keepdims=True), eps) for v in (x, y))
    return sum(x * y, axis=along)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Pairwise distance: the p-norm of ``x1 - x2 + eps`` over the last axis; ``keepdim`` keeps that with size 1."""
    x, y = as_floats(x1=x1, x2=x2)
    return vector_norm(x - y + eps, axis=-1, keepdims=keepdim, ord=p)
