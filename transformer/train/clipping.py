"""Gradient clipping by norm and by value, with statistics for each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minigrad import Tensor, kernels
from minigrad.optim import clip_grad_value_


@dataclass(frozen=True)
class Clipping:
    """Clipping statistics of one step: gradient norms, and the effect of clipping."""

    norms: tuple[float, ...]  # of each parameter's gradient, before any clipping
    shares: tuple[float, ...]  # of each gradient's elements, cut by clip_value; empty without it
    factor: float  # factor of all gradients: 1 where the norm is within clip_norm

    @property
    def norm(self) -> float:
        """Total norm of all gradients, before any clipping."""
        return math.hypot(*self.norms)


def clip(parameters: Sequence[Tensor], clip_norm: float | None, clip_value: float | None) -> Clipping:
    """Clip the gradients: elements in place, the norm by a factor for the optimizer's step.

    The factor saves a pass over all gradients: ``optimizer.step(gradient_scale=clipping.factor)``.
    """
    norms = _norms(parameters)
    shares: tuple[float, ...] = ()
    limited = norms
    if clip_value is not None:
        shares = tuple(_share_above(parameter, clip_value) for parameter in parameters)
        clip_grad_value_(parameters, clip_value)
        limited = _norms(parameters)
    norm = math.hypot(*limited)
    factor = clip_norm / norm if clip_norm is not None and norm > clip_norm else 1.0
    return Clipping(norms, shares, factor)


def _norms(parameters: Sequence[Tensor]) -> tuple[float, ...]:
    """Norm of each gradient, 0 where there is none; all of one dtype in one pass."""
    norms = np.zeros(len(parameters))
    gradients = {place: p.grad.data for place, p in enumerate(parameters) if p.grad is not None}
    for dtype in {gradient.dtype for gradient in gradients.values()}:
        places = [place for place, gradient in gradients.items() if gradient.dtype == dtype]
        norms[places] = np.sqrt(kernels.squared_norms([gradients[place] for place in places]))
    return tuple(norms.tolist())


def _share_above(parameter: Tensor, limit: float) -> float:
    return 0.0 if parameter.grad is None else float(np.mean(np.abs(parameter.grad.data) > limit))
