"""Cross-entropy: losses of predicted classes, from logits or log-probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.nn.functional.losses import Reduction, reduced, weighted
from minigrad.ops.arguments import as_integer
from minigrad.ops.batching import aligned
from minigrad.ops.comparisons import not_equal
from minigrad.ops.elementwise import add, exp, log, where
from minigrad.ops.indexing import take, take_along_axis
from minigrad.ops.operands import as_operands
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.ops.reductions import max, mean, sum
from minigrad.ops.shape import expand_dims, moveaxis, reshape, squeeze
from minigrad.ops.softmax import log_softmax

__all__ = ["cross_entropy", "nll_loss"]


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
    """Cross-entropy of each row: (N, V) logits and (N,) int64 classes give (N,) losses, 0 where the target is ignored.

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
    """Mean of ``row_cross_entropy`` over the rows that are not ignored, NaN if there are none."""
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


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of predictions, given as logits, against classes or their probabilities.

    Args:
        input: logits, (N, C, …) or (C,).
        target: integer classes in [0, C), or ``ignore_index``, (N, …) or (); or probabilities in the input's shape.
        weight: (C,), of each class.
        ignore_index: classes of this value do not count.
        reduction: "mean" (weighted, over what counts), "sum", or "none" for all losses in the classes' shape.
        label_smoothing: ε of Szegedy et al., 2016, section 7: so much of the target is spread over all classes.

    Raises:
        ValueError: shapes do not fit or a class is out of range.
        TypeError: the target has neither integers nor floats.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.cross_entropy([[0.0, 0.0], [0.0, -mg.inf]], [1, 0])
        tensor(0.3465736)
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: expected a number between 0 and 1, got {label_smoothing}")
    x, wanted, weight = as_operands("weight", input=input, target=target, weight=weight)
    axis = _class_axis(x, weight)
    if wanted.dtype.kind == "f" and wanted.shape == x.shape:
        return _cross_entropy_of_probabilities(x, axis, wanted, weight, reduction, label_smoothing)
    rows, classes = _rows(x, axis, wanted, ignore_index)
    if weight is None:
        if rows.dtype.kind != "f":
            raise TypeError(f"input: expected floats, got {rows.dtype}")
        if reduction == "mean":
            return mean_cross_entropy(rows, classes, ignore_index, label_smoothing)
        losses = row_cross_entropy(rows, classes, ignore_index, label_smoothing)
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
    """Negative log-likelihood of classes.

    Args:
        input: log-probabilities, (N, C, …) or (C,).
        target: integer classes in [0, C), or ``ignore_index``, (N, …) or ().
        weight: (C,), of each class.
        ignore_index: classes of this value do not count.
        reduction: "mean" (weighted, over what counts), "sum", or "none" for all losses in the target's shape.

    Raises:
        ValueError: shapes do not fit or a class is out of range.
        TypeError: the target has no integers.
    """
    x, wanted, weight = as_operands("weight", input=input, target=target, weight=weight)
    rows, classes = _rows(x, _class_axis(x, weight), wanted, ignore_index)
    losses, weights = _weighted_nll(rows, classes, weight, ignore_index)
    return _reduced(losses, weights, wanted.shape, reduction)


def _class_axis(x: Tensor, weight: Tensor | None) -> int:
    """The axis of the classes, of which each has one weight."""
    shape = x.shape
    if not shape:
        raise ValueError("input: expected (N, C, …) or (C,), got a number")
    axis = 1 if len(shape) > 1 else 0
    if weight is not None and weight.shape != (shape[axis],):
        raise ValueError(f"weight: expected shape ({shape[axis]},) for input {shape}, got {weight.shape}")
    return axis


def _rows(x: Tensor, axis: int, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """(N, C, …) as (rows, C), and the classes as int64 (rows,)."""
    shape, given = x.shape, target.shape
    expected = shape[:axis] + shape[axis + 1 :]
    if target.dtype.kind not in "iu":
        raise TypeError(f"target: expected integer classes (N, …), got {target.dtype} {given} for {shape}")
    as_integer(ignore_index, "ignore_index")
    if given != expected:
        raise ValueError(f"target: expected (N,) for (N, C) or (N, …) for (N, C, …), so {expected}, got {given}")
    if len(shape) == 2:
        return x, class_indices(target, shape[1], ignore_index)
    size, count = math.prod(given), shape[axis]
    classes = class_indices(reshape(target, (size,)), count, ignore_index)
    return reshape(moveaxis(x, axis, -1), (size, count)), classes


def _weighted_nll(rows: Tensor, classes: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Each row's loss, and its weight."""
    counted = not_equal(classes, ignore_index)
    index = where(counted, classes, 0)
    chosen = squeeze(take_along_axis(rows, expand_dims(index, 1), 1), 1)
    losses = where(counted, -chosen, 0)
    if weight is None:
        return losses, counted
    weights = where(counted, take(weight, index), 0)
    return losses * weights, weights


def _reduced(losses: Tensor, weights: Tensor, shape: Shape, reduction: Reduction) -> Tensor:
    """Reduction with a weighted "mean"."""
    if reduction == "mean":
        return sum(losses) / sum(weights)
    return reduced(reshape(losses, shape), reduction)


def _cross_entropy_of_probabilities(
    x: Tensor, axis: int, target: Tensor, weight: Tensor | None, reduction: Reduction, label_smoothing: float
) -> Tensor:
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    products = weighted(target, log_softmax(x, axis))
    if weight is not None:
        products = products * reshape(weight, (x.shape[axis], *(1,) * (x.ndim - axis - 1)))
    return reduced(-sum(products, axis=axis), reduction)
