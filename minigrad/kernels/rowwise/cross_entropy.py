"""Cross-entropy between logits and class indices, with label smoothing as in PyTorch.

The target distribution of a row with class t is q = (1 - s) * onehot(t) + s / V, where s is the smoothing (Szegedy et
al., "Rethinking the Inception Architecture for Computer Vision", 2016, sec. 7, arXiv:1512.00567):

    loss = logsumexp(x) - sum(q * x),    dx = g * (softmax(x) - q)

The logits are read from memory once forward, block by block with a maximum that may still grow (Milakov and Gimelshein,
"Online normalizer calculation for softmax", 2018, algorithm 3), and once backward, when their gradient is written.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from minigrad.kernels.compiling.arguments import check_arrays, check_floats, check_indices, check_numbers, check_shape
from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.compiling.parallel import in_parallel, share, threads_for
from minigrad.kernels.elementwise.exponential import exp_nonpositive, log_weight
from minigrad.kernels.rowwise.maximum import row_max

WORK = 16  # multiply-adds that one logit costs about as much as
BLOCK = 1024  # logits that are read twice, for their maximum and their sum: they must stay in the first-level cache


def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, ignore_index: int = -100, label_smoothing: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each row, without any averaging.

    Args:
        logits: (N, V), float32 or float64.
        targets: (N,) integers of [0, V), or ``ignore_index``.
        ignore_index: rows with this target have loss 0.
        label_smoothing: of [0, 1], the weight spread evenly over all classes.

    Returns:
        losses (N,), and for the backward pass (N, 2): each row's largest logit, and the logarithm of the sum of
        exponentials relative to it.

    Raises:
        TypeError: logits that are neither float32 nor float64, or targets that are no integers.
        ValueError: a shape or the smoothing does not fit.
        IndexError: a target outside the classes.

    >>> losses, _ = cross_entropy(np.zeros((2, 4)), np.array([1, -100]))
    >>> losses.round(4)
    array([1.3863, 0.    ])
    """
    targets = _checked(logits, targets, ignore_index, label_smoothing)
    losses, normalizer = np.zeros(len(logits), logits.dtype), np.empty((len(logits), 2), logits.dtype)
    if logits.size:
        _cross_entropy(
            np.ascontiguousarray(logits),
            targets,
            ignore_index,
            label_smoothing,
            float(np.finfo(logits.dtype).min),
            losses,
            normalizer,
            threads_for(WORK * logits.size),
        )
    return losses, normalizer


@kernel()
def _cross_entropy(logits, targets, ignore_index, smoothing, lowest, losses, normalizer, parts):
    in_parallel(parts, _cross_entropy_rows, (logits, targets, ignore_index, smoothing, lowest, losses, normalizer))


@kernel(fastmath=SUMS)
def _cross_entropy_rows(part, parts, logits, targets, ignore_index, smoothing, lowest, losses, normalizer):
    # logits: (N, V); targets, losses: (N,); normalizer: (N, 2); lowest: the dtype's lowest finite number
    first, last = share(len(logits), part, parts)
    zero = logits.dtype.type(0)
    for row in range(first, last):
        x = logits[row]
        classes = len(x)
        # Relative to the largest logit so far: the sum of exponentials, and of how far the logits are below it. That
        # starts finite, for a block of nothing but -inf would be compared with itself otherwise.
        shift, total, below = logits.dtype.type(lowest), zero, zero
        for start in range(0, classes, BLOCK):
            block = x[start : start + BLOCK]
            top = row_max(block)
            if top > shift:
                total *= exp_nonpositive(shift - top)
                if start > 0:
                    below += (top - shift) * start
                shift = top
            for i in range(len(block)):
                total += exp_nonpositive(block[i] - shift)
                below += shift - block[i]
        logarithm = math.log(total)
        normalizer[row, 0], normalizer[row, 1] = shift, logarithm
        if targets[row] == ignore_index:
            continue
        loss, mean = _loss(x[targets[row]], shift, logarithm), logarithm + below / classes
        losses[row] = _mixed(loss, mean, smoothing)


def cross_entropy_backward(
    g: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    normalizer: np.ndarray,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> np.ndarray:
    """The gradient of ``cross_entropy`` with respect to the logits, (N, V), written once; 0 in ignored rows.

    Args:
        g: (N,), the gradient with respect to each row's loss.
        logits: (N, V), as given to the forward pass.
        targets: (N,), as given to the forward pass.
        normalizer: (N, 2), from the forward pass.
        ignore_index: as given to the forward pass.
        label_smoothing: as given to the forward pass.
    """
    targets = _checked(logits, targets, ignore_index, label_smoothing)
    check_floats(logits=logits, g=g, normalizer=normalizer)
    check_shape("g", g, logits.shape[:1])
    check_shape("normalizer", normalizer, (*logits.shape[:1], 2))
    dlogits = np.empty(logits.shape, logits.dtype)
    if logits.size:
        _cross_entropy_backward(
            np.ascontiguousarray(g),
            np.ascontiguousarray(logits),
            targets,
            np.ascontiguousarray(normalizer),
            ignore_index,
            label_smoothing,
            dlogits,
            threads_for(WORK * logits.size),
        )
    return dlogits


@kernel()
def _cross_entropy_backward(g, logits, targets, normalizer, ignore_index, smoothing, dlogits, parts):
    in_parallel(parts, _cross_entropy_backward_rows, (g, logits, targets, normalizer, ignore_index, smoothing, dlogits))


@kernel(fastmath=SUMS)
def _cross_entropy_backward_rows(part, parts, g, logits, targets, normalizer, ignore_index, smoothing, dlogits):
    # logits, dlogits: (N, V); g, targets: (N,); normalizer: (N, 2)
    first, last = share(len(logits), part, parts)
    for row in range(first, last):
        x, dx = logits[row], dlogits[row]
        if targets[row] == ignore_index:
            dx[:] = 0
            continue
        shift, logarithm, scale = normalizer[row, 0], normalizer[row, 1], g[row]
        everywhere = x.dtype.type(smoothing / len(x))
        for i in range(len(x)):
            dx[i] = scale * (exp_nonpositive(log_weight(x[i], shift, logarithm)) - everywhere)
        dx[targets[row]] -= scale * x.dtype.type(1 - smoothing)


@register_jitable(fastmath={"contract"})
def _loss(logit, shift, logarithm):
    """-log_weight(logit, shift, logarithm), kept from reassociation by the caller."""
    return logarithm + (shift - logit)


@register_jitable(fastmath={"contract"})
def _mixed(loss, mean, smoothing):
    """The loss of the class and the mean of all, in their shares; not in another order, for both may be infinite."""
    if smoothing == 0:
        return loss
    return mean if smoothing == 1 else (1 - smoothing) * loss + smoothing * mean


def _checked(logits: np.ndarray, targets: np.ndarray, ignore_index: int, label_smoothing: float) -> np.ndarray:
    """The targets as contiguous int64, once all arguments are found to fit."""
    check_floats(logits=logits)
    if logits.ndim != 2:
        raise ValueError(f"logits must have shape (N, V); got {logits.shape}")
    check_arrays(targets=targets)
    check_shape("targets", targets, logits.shape[:1])
    check_indices("targets", targets, logits.shape[1], ignore_index)
    check_numbers(label_smoothing=label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1]; got {label_smoothing}")
    return np.ascontiguousarray(targets, np.int64)
