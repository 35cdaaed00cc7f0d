"""Accuracy of a model's likeliest tokens."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import minigrad as mg
from minigrad import nn
from transformer.data.batches import IGNORED, Batch


def accuracy(model: nn.Module, batches: Iterable[Batch]) -> float:
    """Accuracy: the share of labels, 0 to 1, that have the greatest logit of their position. Dropout is off.

    Raises:
        ValueError: no position has a label.
    """
    right, targets = 0, 0
    with model.evaluating(), mg.no_grad():
        for batch in batches:
            predicted = np.asarray(model(*batch.inputs).data).argmax(-1)
            right += int(np.count_nonzero((predicted == batch.labels) & (batch.labels != IGNORED)))
            targets += batch.targets
    if not targets:
        raise ValueError("batches: expected labels, got batches with nothing to predict")
    return right / targets
