"""Losses of predicted classes and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Tensor
from minigrad.nn.functional.losses import Reduction, check_same_shape, reduced
from minigrad.ops import loss
from minigrad.ops.arguments import as_integer
from minigrad.ops.batching import aligned
from minigrad.ops.comparisons import isinf, not_equal, where
from minigrad.ops.elementwise import exp, log, log1p, maximum, softplus
from minigrad.ops.indexing import take, take_along_axis
from minigrad.ops.normalization import log_softmax
from minigrad.ops.operands import as_floats, as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import sum
from minigrad.ops.shape import expand_dims, moveaxis, reshape, squeeze

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "kl_div",
    "nll_loss",
]


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of predictions, given as logits, against classes or their probabilities.

    Args:
        input: logits, (N, C, …) or (C,).
        target: integer classes in [0, C), or ``ignore_index``, (N, …) or (); or probabilities in the input's shape.
        weight: (C,), what each class counts for.
        ignore_index: classes of this value do not count.
        reduction: "mean" (weighted, over what counts), "sum", or "none" for all losses in the classes' shape.
        label_smoothing: ε of Szegedy et al., 2016, section 7: so much of the target is spread over all classes.

    Raises:
        ValueError: shapes do not fit or a class is out of range.
        TypeError: the target has neither integers nor floats.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: expected a number between 0 and 1, got {label_smoothing}")
    x, wanted, weight = as_operands("weight", input=input, target=target, weight=weight)
    _check_weight(x, weight)
    if wanted.dtype.kind == "f" and wanted.shape == x.shape:
        return _cross_entropy_of_probabilities(x, wanted, weight, reduction, label_smoothing)
    rows, classes = _rows(x, wanted, ignore_index)
    if weight is None:
        if reduction == "mean":
            return loss.mean_cross_entropy(rows, classes, ignore_index, label_smoothing)
        losses = loss.row_cross_entropy(rows, classes, ignore_index, label_smoothing)
        return reduced(reshape(losses, wanted.shape), reduction)
    log_probabilities = log_softmax(rows, -1)
    losses, weights = _weighted_nll(log_probabilities, classes, weight, ignore_index)
    if label_smoothing:
        everywhere = where(not_equal(classes, ignore_index), -sum(log_probabilities * weight, axis=-1), 0)
        losses = (1 - label_smoothing) * losses + label_smoothing / rows.shape[1] * everywhere
    return _reduced(losses, weights, wanted.shape, reduction)


def nll_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: Reduction = "mean"
) -> Tensor:
    """The negative log-likelihood of classes.

    Args:
        input: log-probabilities, (N, C, …) or (C,).
        target: integer classes in [0, C), or ``ignore_index``, (N, …) or ().
        weight: (C,), what each class counts for.
        ignore_index: classes of this value do not count.
        reduction: "mean" (weighted, over what counts), "sum", or "none" for all losses in the target's shape.

    Raises:
        ValueError: shapes do not fit or a class is out of range.
        TypeError: the target has no integers.
    """
    x, wanted, weight = as_operands("weight", input=input, target=target, weight=weight)
    _check_weight(x, weight)
    rows, classes = _rows(x, wanted, ignore_index)
    losses, weights = _weighted_nll(rows, classes, weight, ignore_index)
    return _reduced(losses, weights, wanted.shape, reduction)


def _check_weight(x: Tensor, weight: Any) -> None:
    if not x.ndim:
        raise ValueError("input: expected (N, C, …) or (C,), got a number")
    classes = x.shape[min(x.ndim - 1, 1)]
    if weight is not None and np.shape(weight) != (classes,):
        raise ValueError(f"weight: expected shape ({classes},) for input {x.shape}, got {np.shape(weight)}")


def _rows(x: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """(N, C, …) as (rows, C), and the classes as int64 (rows,)."""
    axis = min(x.ndim - 1, 1)
    expected = (*x.shape[:axis], *x.shape[axis + 1 :])
    if target.dtype.kind not in "iu":
        raise TypeError(f"target: expected integer classes (N, …), got {target.dtype} {target.shape} for {x.shape}")
    as_integer(ignore_index, "ignore_index")
    if target.shape != expected:
        raise ValueError(f"target: expected (N,) for (N, C) or (N, …) for (N, C, …), so {expected}, got {target.shape}")
    count = x.shape[axis]
    if x.ndim == 2:
        return x, loss.class_indices(target, count, ignore_index)
    classes = loss.class_indices(reshape(target, (target.size,)), count, ignore_index)
    return reshape(moveaxis(x, axis, -1), (target.size, count)), classes


def _weighted_nll(rows: Tensor, classes: Tensor, weight: Any, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Each row's loss, and what it counts for."""
    counted = not_equal(classes, ignore_index)
    index = where(counted, classes, 0)
    chosen = squeeze(take_along_axis(rows, expand_dims(index, 1), 1), 1)
    losses = where(counted, -chosen, 0)
    if weight is None:
        return losses, counted
    weights = where(counted, take(weight, index), 0)
    return losses * weights, weights


def _reduced(losses: Tensor, weights: Tensor, shape: Any, reduction: Reduction) -> Tensor:
    """The reduction, where "mean" is weighted."""
    if reduction == "mean":
        return sum(losses) / sum(weights)
    return reduced(reshape(losses, shape), reduction)


def _cross_entropy_of_probabilities(
    x: Tensor, target: Tensor, weight: Any, reduction: Reduction, label_smoothing: float
) -> Tensor:
    axis = min(x.ndim - 1, 1)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    products = _weighted(target, log_softmax(x, axis))
    if weight is not None:
        products = products * reshape(weight, (x.shape[axis], *(1,) * (x.ndim - axis - 1)))
    return reduced(-sum(products, axis=axis), reduction)


def _weighted(probability: Tensor, logarithm: Tensor) -> Tensor:
    """Their product, 0 where a probability of 0 meets an infinite logarithm."""
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
    """-target · log(input) - (1 - target) · log(1 - input), no logarithm counting as less than -100.

    Args:
        input: probabilities, of any shape.
        target: probabilities in the same shape.
        weight: what each element counts for; it broadcasts.
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
    """The binary cross-entropy of probabilities given as logits, safe for any of them.

    Args:
        input: logits, of any shape.
        target: probabilities in the same shape.
        weight: what each element counts for; it broadcasts.
        reduction: "mean", "sum" or "none".
        pos_weight: what positive targets count for; it broadcasts.

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
    """target · (log target - input): the divergence of a distribution from one given by its logarithm.

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
    losses = _weighted(probability, logarithm) - _weighted(probability, x)
    if reduction == "batchmean":
        return sum(losses) / (x.shape[0] if x.ndim else 1)
    return reduced(losses, reduction)
