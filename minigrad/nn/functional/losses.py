"""Losses of predicted probabilities and numbers, of rankings and of distances."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from minigrad.engine.tensor import Array, Tensor
from minigrad.nn.functional.distances import at_least, pairwise_distance
from minigrad.ops.batching import aligned
from minigrad.ops.comparisons import isinf
from minigrad.ops.elementwise import abs, clip, exp, log, log1p, maximum, minimum, softplus, sqrt, where
from minigrad.ops.operands import as_floats
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import mean, sum
from minigrad.ops.shape import expand_dims

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]

Reduction = Literal["none", "mean", "sum"]


def reduced(losses: Tensor, reduction: Reduction) -> Tensor:
    """Reduction: all losses, their mean or their sum."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction: expected 'none', 'mean' or 'sum', got {reduction!r}")
    return losses if reduction == "none" else mean(losses) if reduction == "mean" else sum(losses)


def check_same_shape(input: Tensor, target: Tensor) -> None:
    """Refuse shapes that would only broadcast, which is a mistake more often than not."""
    if input.shape != target.shape:
        raise ValueError(f"target: expected the input's shape {input.shape}, got {target.shape}")


def weighted(probability: Tensor, logarithm: Tensor) -> Tensor:
    """Product, 0 where a probability of 0 meets an infinite logarithm."""
    return probability * where((probability == 0) & isinf(logarithm), 0, logarithm)


# A log-probability counts as no less than this, nor a product p (1 - p) as less than that: a wrong certainty costs 100.
LEAST_LOG, LEAST_SPREAD = -100.0, 1e-12


@primitive(dtypes="floating", batching=aligned)
def _binary_cross_entropy(p: Array, target: Array, /) -> Array:
    with np.errstate(divide="ignore"):
        hit, miss = np.maximum(np.log(p), LEAST_LOG), np.maximum(np.log1p(-p), LEAST_LOG)
    return (target - 1) * miss - target * hit


_binary_cross_entropy.name = "binary_cross_entropy"
_binary_cross_entropy.vjp(
    p=lambda g, p, target: g * (p - target) / maximum((1 - p) * p, LEAST_SPREAD),
    target=lambda g, p: g * (log1p(-p) - log(p)),
)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: Reduction = "mean") -> Tensor:
    """Binary cross-entropy: -target · log(input) - (1 - target) · log(1 - input), logarithms no less than -100.

    Args:
        input: probabilities, of any shape.
        target: probabilities in the same shape.
        weight: of each element; it broadcasts.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes differ.
    """
    x, wanted = as_floats(input=input, target=target)
    check_same_shape(x, wanted)
    losses = _binary_cross_entropy(x, wanted)
    return reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: Reduction = "mean", pos_weight: Any = None
) -> Tensor:
    """Binary cross-entropy of probabilities given as logits, safe for any of them.

    Args:
        input: logits, of any shape.
        target: probabilities in the same shape.
        weight: of each element; it broadcasts.
        reduction: "mean", "sum" or "none".
        pos_weight: of positive targets; it broadcasts.

    Raises:
        ValueError: the shapes differ.
    """
    x, wanted, pos_weight = as_floats("pos_weight", input=input, target=target, pos_weight=pos_weight)
    check_same_shape(x, wanted)
    if pos_weight is None:
        losses = softplus(x) - x * wanted
    else:
        losses = (1 - wanted) * x + ((pos_weight - 1) * wanted + 1) * softplus(-x)
    return reduced(losses if weight is None else losses * weight, reduction)


def kl_div(input: Any, target: Any, reduction: Any = "mean", log_target: bool = False) -> Tensor:
    """Kullback-Leibler divergence from a distribution given by its logarithm: target · (log target - input).

    Args:
        input: log-probabilities, of any shape.
        target: probabilities, or their logarithms with ``log_target``; it broadcasts.
        reduction: "mean" over all elements, "batchmean" (the sum divided by the size of the first axis, which is the
            divergence's definition), "sum" or "none".
        log_target: whether ``target`` is given by its logarithm.
    """
    x, wanted = as_floats(input=input, target=target)
    probability = exp(wanted) if log_target else wanted
    logarithm = wanted if log_target else log(where(wanted == 0, 1, wanted))
    losses = weighted(probability, logarithm) - weighted(probability, x)
    if reduction == "batchmean":
        return sum(losses) / (x.shape[0] if x.ndim else 1)
    return reduced(losses, reduction)


# Numbers. `input` and `target` have one shape, and `reduction` is "mean", "sum" or "none".


def _difference(input: Any, target: Any) -> Tensor:
    x, wanted = as_floats(input=input, target=target)
    check_same_shape(x, wanted)
    return x - wanted


def mse_loss(input: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """Squared error, (input - target)²."""
    difference = _difference(input, target)
    return reduced(difference * difference, reduction)


def l1_loss(input: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """Absolute error, ``|input - target|``."""
    return reduced(abs(_difference(input, target)), reduction)


def huber_loss(input: Any, target: Any, reduction: Reduction = "mean", delta: float = 1.0) -> Tensor:
    """Huber loss: d² / 2 of the difference d where ``|d| < δ``, ``δ (|d| - δ/2)`` elsewhere. Huber, 1964.

    Raises:
        ValueError: ``delta`` is not positive, or the shapes differ.
    """
    if delta <= 0:
        raise ValueError(f"delta: expected a positive number, got {delta}")
    size = abs(_difference(input, target))
    near = where(size < delta, size, 0)  # an infinite difference has no part in the parabola's gradient
    return reduced(where(size < delta, 0.5 * near * near, delta * (size - 0.5 * delta)), reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """Smooth L1 loss: d² / 2β of the difference d where ``|d| < β``, ``|d| - β/2`` elsewhere. Girshick, 2015, eq. 3.

    Raises:
        ValueError: ``beta`` is negative, or the shapes differ.
    """
    if beta < 0:
        raise ValueError(f"beta: expected a number ≥ 0, got {beta}")
    size = abs(_difference(input, target))
    if beta == 0:
        return reduced(size, reduction)
    near = where(size < beta, size, 0)
    return reduced(where(size < beta, near * near * (0.5 / beta), size - 0.5 * beta), reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-likelihood of counts under a Poisson distribution.

    Args:
        input: the distribution's mean, or its logarithm with ``log_input``.
        target: counts, in the same shape.
        log_input: whether ``input`` is a logarithm.
        full: add log(target!) for targets above 1, by Stirling's formula.
        eps: added to the mean before its logarithm is taken.
        reduction: "mean", "sum" or "none".
    """
    x, wanted = as_floats(input=input, target=target)
    check_same_shape(x, wanted)
    losses = exp(x) - wanted * x if log_input else x - wanted * log(x + eps)
    if full:
        large = where(wanted > 1, wanted, 1)
        losses = losses + where(wanted > 1, large * log(large) - large + 0.5 * log(2 * math.pi * large), 0)
    return reduced(losses, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean"
) -> Tensor:
    """Negative log-likelihood under normal distributions: (log var + (input - target)² / var) / 2.

    Args:
        input: means.
        target: values; it broadcasts.
        var: variances, one for each mean or one for each row of means (with its last axis of size 1, or without it).
        full: add the constant log(2π) / 2.
        eps: variances below it count as it, without a change of their gradient.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: a variance is negative, or the shape of ``var`` does not fit.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994.
    """
    x, wanted, spread = as_floats(input=input, target=target, var=var)
    if spread.shape != x.shape and spread.shape == x.shape[:-1] and x.ndim:
        spread = expand_dims(spread, -1)
    if np.broadcast_shapes(spread.shape, x.shape) != x.shape:
        raise ValueError(f"var: expected a shape that broadcasts to {x.shape}, got {spread.shape}")
    if bool((spread.detach() < 0).any()):
        raise ValueError("var: expected variances ≥ 0, got a negative one")
    spread = at_least(spread, eps)
    difference = x - wanted
    losses = 0.5 * (log(spread) + difference * difference / spread)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


# Margins. `target` is 1 or -1.


def soft_margin_loss(input: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """Soft margin loss: log(1 + e^(-target · input)), of one shape both."""
    x, wanted = as_floats(input=input, target=target)
    check_same_shape(x, wanted)
    return reduced(softplus(-wanted * x), reduction)


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """Hinge embedding loss: ``input`` where the target is 1, max(0, margin - input) where it is -1."""
    x, wanted = as_floats(input=input, target=target)
    similar = where(wanted == -1, 0, x)
    different = where(wanted == 1, 0, clip(margin - x, min=0))
    return reduced(similar + different, reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: Reduction = "mean"
) -> Tensor:
    """Margin ranking loss: max(0, -target · (input1 - input2) + margin); target 1 ranks the first above the second."""
    x, y, wanted = as_floats(input1=input1, input2=input2, target=target)
    return reduced(clip(-wanted * (x - y) + margin, min=0), reduction)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: Reduction = "mean"
) -> Tensor:
    """Cosine embedding loss: 1 - cos where the target is 1, max(0, cos - margin) where it is -1.

    Args:
        input1, input2: vectors, (N, D) or (D,).
        target: (N,) or ().
        margin: how alike vectors may be that should differ.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: the shapes do not fit.
    """
    x, y, wanted = as_floats(input1=input1, input2=input2, target=target)
    if x.ndim not in (1, 2) or wanted.ndim != x.ndim - 1 or y.ndim != x.ndim:
        raise ValueError(f"target: expected (N,) for (N, D), or () for (D,), got {wanted.shape} for {x.shape}")
    eps = 1e-12
    lengths = sqrt((sum(x * x, axis=-1) + eps) * (sum(y * y, axis=-1) + eps))
    cosine = sum(x * y, axis=-1) / lengths
    return reduced(where(wanted == 1, 1 - cosine, 0) + where(wanted == -1, clip(cosine - margin, min=0), 0), reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Triplet loss: max(0, margin + d(anchor, positive) - d(anchor, negative)). Schroff et al., 2015.

    Args:
        anchor, positive, negative: vectors, (N, D) or (D,).
        margin: by how much the negative must be farther away.
        p, eps: of :func:`pairwise_distance`.
        swap: whether the positive's distance from the negative counts, if it is less (Balntas et al., 2016).
        reduction: "mean", "sum" or "none".
    """
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(clip(margin + near - far, min=0), reduction)
