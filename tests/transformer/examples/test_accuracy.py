"""Accuracy counts labels only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn
from transformer.data.batches import IGNORED, Batch
from transformer.examples.accuracy import accuracy


class Says(nn.Module):
    """Says what it reads."""

    def forward(self, ids: Any) -> Tensor:
        return mg.asarray(np.eye(9)[ids])


def test_the_accuracy_is_the_share_of_labels_that_are_said() -> None:
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    batches = [Batch((ids,), np.array([[1, 2, 0], [IGNORED, IGNORED, IGNORED]])), Batch((ids,), np.full((2, 3), 1))]
    assert accuracy(Says(), batches) == pytest.approx((2 + 1) / (3 + 6))


def test_without_labels_there_is_no_accuracy() -> None:
    with pytest.raises(ValueError, match="batches: expected labels"):
        accuracy(Says(), [Batch((np.array([[1]]),), np.array([[IGNORED]]))])
