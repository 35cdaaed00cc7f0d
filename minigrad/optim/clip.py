"""Gradient clipping. Pascanu, Mikolov and Bengio, 2013, algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Tensor


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def grad_norm(parameters: Iterable[Tensor]) -> float:
    """Total 2-norm of all gradients, accumulated in float64; parameters without a gradient are skipped."""
    arrays = [gradient.data for gradient in _gradients(parameters)]
    dtypes = {array.dtype for array in arrays}
    return math.sqrt(sum(kernels.squared_norm([a for a in arrays if a.dtype == dtype]) for dtype in dtypes))


def clip_grad_norm_(parameters: Iterable[Tensor], max_norm: float, error_if_nonfinite: bool = False) -> float:
    """Clip the total norm: scale all gradients so that their joint 2-norm is at most ``max_norm``.

    Args:
        parameters: tensors whose ``grad`` is changed in place; those without one are skipped.
        max_norm: the limit, > 0.
        error_if_nonfinite: raise if the norm is NaN or infinite. Otherwise, as in PyTorch, a NaN norm makes every
            gradient NaN, and an infinite one makes finite elements 0 and infinite ones NaN.

    Returns:
        The norm before clipping. An optimizer that is given ``gradient_scale=min(1, max_norm / norm)`` takes the same
        step without this pass over the gradients; see :func:`grad_norm`.

    Raises:
        ValueError: ``max_norm`` is not positive.
        RuntimeError: the norm is NaN or infinite, with ``error_if_nonfinite``.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm: expected a positive number, got {max_norm}")
    parameters = list(parameters)
    norm = grad_norm(parameters)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm_: the joint norm of the gradients is {norm}, and cannot be clipped")
    if not norm <= max_norm:  # a NaN too
        gradients = _gradients(parameters)
        for dtype in {gradient.dtype for gradient in gradients}:
            arrays = [gradient.data for gradient in gradients if gradient.dtype == dtype]
            kernels.scale_arrays([array for array in arrays if array.flags.c_contiguous], max_norm / norm)
            for array in arrays:
                if not array.flags.c_contiguous:
                    array *= array.dtype.type(max_norm / norm)
        for gradient in gradients:
            gradient.storage.version += 1
    return norm


def clip_grad_value_(parameters: Iterable[Tensor], clip_value: float) -> None:
    """Clip every element of every gradient to [-clip_value, clip_value], in place."""
    if not clip_value > 0:
        raise ValueError(f"clip_value: expected a positive number, got {clip_value}")
    for gradient in _gradients(parameters):
        np.clip(gradient.data, -clip_value, clip_value, out=gradient.data)
        gradient.storage.version += 1
