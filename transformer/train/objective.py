"""Training objective: the cross-entropy of the target tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.data.batches import IGNORED, Batch


def batch_loss(model: nn.Module, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of a batch's labels, in nats. "Attention Is All You Need", section 5.4, for the smoothing.

    Raises:
        ValueError: the logits' shape does not fit the labels'.
    """
    logits = model(*batch.inputs)
    if logits.shape[:-1] != batch.labels.shape:
        raise ValueError(
            f"labels: expected shape {logits.shape[:-1]} for logits {logits.shape}, got {batch.labels.shape}"
        )
    return F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        batch.labels.reshape(-1),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )


def accumulate_gradients(model: nn.Module, batches: Sequence[Batch], label_smoothing: float) -> float:
    """Accumulate gradients as of one large batch: each batch's mean is weighted by its share of the target tokens.

    Returns:
        The mean loss over all target tokens.

    Raises:
        ValueError: no position has a label.
    """
    total = sum(batch.targets for batch in batches)
    if not total:
        raise ValueError("data: expected labels, got batches with nothing to predict")
    mean = 0.0
    for batch in batches:
        if share := batch.targets / total:
            loss = batch_loss(model, batch, label_smoothing)
            loss.backward(np.asarray(share, loss.dtype))
            mean += share * loss.item()
    return mean


def held_out_loss(model: nn.Module, batches: Iterable[Batch]) -> float:
    """Held-out loss: the mean cross-entropy of all labels, in nats, without label smoothing and dropout.

    Raises:
        ValueError: no position has a label.
    """
    total, targets = 0.0, 0
    with model.evaluating(), mg.no_grad():
        for batch in batches:
            if batch.targets:
                total += batch.targets * batch_loss(model, batch).item()
                targets += batch.targets
    if not targets:
        raise ValueError("held_out: expected labels, got batches with nothing to predict")
    return total / targets
