"""A model and data small enough to train within a test, without the Transformer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.random import Generator
from transformer.data.batches import Batch, SequenceBatches
from transformer.train import TrainingConfig

VOCABULARY = 11


class Bigrams(nn.Module):
    """Bigram model with two sorts of dropout, a norm, and two matrices."""

    def __init__(self, dropout: float = 0.0, width: int = 6) -> None:
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.own_dropout = nn.Dropout(dropout, Generator(5))
        self.output = nn.Linear(width, VOCABULARY)

    def forward(self, ids: Any) -> Tensor:
        return self.output(self.own_dropout(self.norm(self.dropout(self.embedding(ids)))))


def bigrams(dropout: float = 0.0, seed: int = 0, dtype: Any = np.float32) -> Bigrams:
    mg.manual_seed(seed)
    return Bigrams(dropout).astype(dtype)


def sequences(count: int = 12, seed: int = 0) -> list[list[int]]:
    """Of unequal lengths, each token following from the one before more often than not."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        ids = [int(rng.integers(1, VOCABULARY))]
        while len(ids) < rng.integers(3, 10):
            ids.append(1 + ids[-1] * 3 % (VOCABULARY - 1) if rng.random() < 0.8 else int(rng.integers(1, VOCABULARY)))
        made.append(ids)
    return made


def data(count: int = 12, seed: int = 0, tokens: int = 24) -> SequenceBatches:
    return SequenceBatches(sequences(count, seed), tokens, pad_id=0, seed=seed)


class Listed:
    """The same batches in every epoch."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def epoch(self, number: int) -> Iterator[Batch]:
        return iter(self.batches)


def config(steps: int, **changes: Any) -> TrainingConfig:
    return TrainingConfig(**{"steps": steps, "lr": 0.02, "warmup": 4, **changes})


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def assert_same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), name
