"""Gradient clipping. Pascanu, Mikolov and Bengio, 2013, algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minigrad.tensor import Array, Tensor


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _squared_norm(array: Array) -> float:
    """Σ x², added up in float64 so that large gradients neither overflow nor lose small ones."""
    return float(np.einsum("i,i->", array.ravel(), array.ravel(), dtype=np.float64))


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their joint 2-norm is at most ``max_norm``.

    Args:
        parameters: tensors whose ``grad`` is changed in place; those without one are passed over.
        max_norm: the limit, > 0.

    Returns:
        The norm before clipping.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm: expected a positive number, got {max_norm}")
    gradients = _gradients(parameters)
    norm = math.sqrt(sum(_squared_norm(gradient.data) for gradient in gradients))
    if norm > max_norm:
        for gradient in gradients:
            gradient.data *= gradient.dtype.type(max_norm / norm)
            gradient.buffer.changes += 1
    return norm


def clip_grad_value_(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to [-clip_value, clip_value], in place."""
    if not clip_value > 0:
        raise ValueError(f"clip_value: expected a positive number, got {clip_value}")
    for gradient in _gradients(parameters):
        np.clip(gradient.data, -clip_value, clip_value, out=gradient.data)
        gradient.buffer.changes += 1
