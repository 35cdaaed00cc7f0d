"""Training objective: the cross-entropy of the target tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.distributed import Group
from minigrad.nn import functional as F
from minigrad.random import batch_share
from transformer.data.batches import IGNORED, Batch

NOTHING: AbstractContextManager[None] = nullcontext()


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


def accumulate_gradients(
    model: nn.Module,
    batches: Sequence[Batch],
    label_smoothing: float,
    *,
    targets: Sequence[int] | None = None,
    summing: AbstractContextManager[Any] = NOTHING,
) -> float:
    """Accumulate gradients as of one large batch: each batch's mean is weighted by its share of the target tokens.

    Args:
        model: as for :func:`batch_loss`.
        batches: whole ones, or this process's share of each.
        label_smoothing: as for :func:`batch_loss`.
        targets: positions with a label of each whole batch; None: of the batches as they are.
        summing: entered for the last backward pass, which completes the gradients.

    Returns:
        The mean loss over all target tokens, or what the shares contribute to it.

    Raises:
        ValueError: no position has a label.
    """
    targets = [batch.targets for batch in batches] if targets is None else targets
    if not (total := sum(targets)):
        raise ValueError("data: expected labels, got batches with nothing to predict")
    used = [batch for batch, count in zip(batches, targets, strict=True) if count]
    mean = 0.0
    for batch in used:
        with batch_share(batch.first, len(batch.labels)):
            # Where all labels are other processes', this one draws the same random numbers, and has nothing to add.
            loss = batch_loss(model, batch, label_smoothing) if batch.targets else model(*batch.inputs)
            with summing if batch is used[-1] else NOTHING:
                if batch.targets:
                    share = batch.targets / total
                    mean += share * loss.item()
                    loss.backward(np.asarray(share, loss.dtype))
    return mean


def held_out_loss(model: nn.Module, batches: Iterable[Batch], group: Group | None = None) -> float:
    """Held-out loss: the mean cross-entropy of all labels, in nats, without label smoothing and dropout.

    Args:
        model: as for :func:`batch_loss`.
        batches: whole ones, or this process's share of each.
        group: of the processes that share the batches.

    Raises:
        ValueError: no position has a label.
    """
    sums = np.zeros(2)  # of the losses, and of their counts
    with model.evaluating(), mg.no_grad():
        for batch in batches:
            if batch.targets:
                sums += (batch.targets * batch_loss(model, batch).item(), batch.targets)
    if group is not None:
        group.all_reduce(sums)
    total, targets = sums.tolist()
    if not targets:
        raise ValueError("held_out: expected labels, got batches with nothing to predict")
    return total / targets
