"""Copy memory task: ten symbols, a long gap, and a request to repeat them.

Hochreiter and Schmidhuber, 1997, in the form of Arjovsky, Shah and Bengio, 2016 ("Unitary evolution recurrent neural
networks"), section 4.1, and with the numbers of Bai, Kolter and Koltun, 2018 ("An empirical evaluation of generic
convolutional and recurrent networks for sequence modeling"), section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

import minigrad as mg
from minigrad import nn
from transformer.data.batches import Batch

SYMBOLS = 10  # to remember
BLANK, FIRST, MARKER = 0, 1, 9  # ids: blank, first symbol, marker
ALPHABET = MARKER - FIRST
VOCABULARY = MARKER + 1


class CopyMemory:
    """Copy memory batches: ten random symbols, ``distance`` blanks, and a marker for each symbol to repeat.

    Batches have ``inputs = (ids (B, distance + 20),)`` and ``labels`` of the same shape: blanks, then the symbols. A
    symbol is to be repeated ``distance`` + 10 positions after it was read. No two batches are alike.

    Args:
        distance: blanks between the symbols and the markers.
        batch: rows of a batch.
        batches: of an epoch.
        seed: of the symbols.

    Raises:
        ValueError: a number is below 1.

    Example:
        >>> (batch,) = CopyMemory(distance=2, batch=1, batches=1).epoch(0)
        >>> batch.inputs[0].tolist()
        [[7, 6, 5, 3, 3, 1, 1, 1, 2, 7, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]]
        >>> batch.labels.tolist()
        [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 6, 5, 3, 3, 1, 1, 1, 2, 7]]
    """

    def __init__(self, distance: int, batch: int, batches: int, seed: int = 0) -> None:
        for name, value in (("distance", distance), ("batch", batch), ("batches", batches)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        self.distance, self.batch, self.batches, self.seed = distance, batch, batches, seed

    def epoch(self, number: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, number])
        for _ in range(self.batches):
            symbols = rng.integers(FIRST, MARKER, (self.batch, SYMBOLS))
            silence = np.full((self.batch, self.distance), BLANK)
            inputs = np.concatenate([symbols, silence, np.full_like(symbols, MARKER)], axis=1)
            labels = np.concatenate([np.full_like(symbols, BLANK), silence, symbols], axis=1)
            yield Batch((inputs,), labels)


def memoryless_loss(distance: int) -> float:
    """Memoryless baseline loss, in nats a position, of guessing the symbols: 10 ln 8 / (distance + 20).

    Source: Arjovsky, Shah and Bengio, 2016, section 4.1.

    Example:
        >>> round(memoryless_loss(1000), 4)
        0.0204
    """
    return SYMBOLS * math.log(ALPHABET) / (distance + 2 * SYMBOLS)


def recall(model: nn.Module, data: CopyMemory) -> float:
    """Recall: the share of symbols repeated correctly in epoch 0 of ``data``; guessing gives 1/8."""
    right = count = 0
    with model.evaluating(), mg.no_grad():
        for batch in data.epoch(0):
            predicted = model(*batch.inputs).data[:, -SYMBOLS:].argmax(-1)
            right += int((predicted == batch.labels[:, -SYMBOLS:]).sum())
            count += predicted.size
    return right / count
