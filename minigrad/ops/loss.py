"""The cross-entropy between predicted logits and integer classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.batching import aligned
from minigrad.ops.comparisons import not_equal, where
from minigrad.ops.elementwise import add, exp, log
from minigrad.ops.indexing import take_along_axis
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.ops.reductions import max, mean, sum
from minigrad.ops.shape import expand_dims, squeeze

__all__ = [
    "class_indices",
    "mean_cross_entropy",
    "row_cross_entropy",
]


@primitive(batching=aligned)
def class_indices(target: Array, /, classes: int, ignore_index: int) -> Array:
    """``target`` as int64.

    Raises:
        ValueError: an element is neither in [0, classes) nor ``ignore_index``.
    """
    if target.size and (target.min() < 0 or target.max() >= classes):
        outside = (target != ignore_index) & ((target < 0) | (target >= classes))
        if outside.any():
            raise ValueError(
                f"target: expected classes 0 to {classes - 1} or {ignore_index} (ignored), got {target[outside][0]}"
            )
    return target.astype(np.int64)


@primitive
def row_cross_entropy(
    logits: Array, targets: Array, /, ignore_index: int = -100, label_smoothing: float = 0.0
) -> WithResiduals:
    """The loss of each row: (N, V) logits and (N,) int64 classes give (N,) losses, 0 where the target is ignored.

    With label smoothing ε the target distribution is (1 - ε) on the class plus ε/V on every class (Szegedy et al.,
    2016, section 7). Log-probabilities are never written out: the backward pass needs only the logits and each row's
    normalizer.
    """
    losses, normalizer = kernels.cross_entropy(logits, targets, ignore_index, label_smoothing)
    return WithResiduals(losses, normalizer=normalizer)


@row_cross_entropy.joint_vjp
def _row_cross_entropy_vjp(
    g: Array, logits: Array, targets: Array, normalizer: Array, ignore_index: int, label_smoothing: float
) -> list[Any]:
    return [kernels.cross_entropy_backward(g, logits, targets, normalizer, ignore_index, label_smoothing), None]


@row_cross_entropy.composed
def _row_cross_entropy(logits: Any, targets: Any, ignore_index: int, label_smoothing: float) -> Any:
    counted = not_equal(targets, ignore_index)
    logits = where(expand_dims(counted, 1), logits, 0)
    shifted = logits - max(logits.detach(), axis=-1, keepdims=True)  # NaN where that is infinite, as in the kernel
    log_probabilities = shifted - log(sum(exp(shifted), axis=-1, keepdims=True))
    chosen = squeeze(take_along_axis(log_probabilities, expand_dims(where(counted, targets, 0), 1), 1), 1)
    # A factor of 0 leaves nothing of a probability of 0 either, whose logarithm is infinite.
    parts = ((1 - label_smoothing, chosen), (label_smoothing, mean(log_probabilities, axis=-1)))
    first, *others = (factor * part for factor, part in parts if factor)
    return where(counted, -add(first, *others) if others else -first, 0)


@primitive
def mean_cross_entropy(
    logits: Array, targets: Array, /, ignore_index: int = -100, label_smoothing: float = 0.0
) -> WithResiduals:
    """The mean of ``row_cross_entropy`` over the rows that are not ignored, NaN if there are none."""
    losses, normalizer = kernels.cross_entropy(logits, targets, ignore_index, label_smoothing)
    count = logits.dtype.type(np.count_nonzero(targets != ignore_index))
    return WithResiduals(losses.sum() / count, normalizer=normalizer, count=count)


mean_cross_entropy.name = "cross_entropy"


@mean_cross_entropy.joint_vjp
def _mean_cross_entropy_vjp(
    g: Array, logits: Array, targets: Array, normalizer: Array, count: Any, ignore_index: int, label_smoothing: float
) -> list[Any]:
    each = np.full(targets.shape, g / count, logits.dtype)
    return [kernels.cross_entropy_backward(each, logits, targets, normalizer, ignore_index, label_smoothing), None]


@mean_cross_entropy.composed
def _mean_cross_entropy(logits: Any, targets: Any, ignore_index: int, label_smoothing: float) -> Any:
    losses = row_cross_entropy(logits, targets, ignore_index, label_smoothing)
    return sum(losses) / sum(not_equal(targets, ignore_index))
