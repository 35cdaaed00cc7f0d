"""A model and data small enough to train within a test, without the Transformer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.random import Generator
from transformer.data.batches import Batch, SequenceBatches
from transformer.train import Step, Trainer, TrainingConfig

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


# Whole trainings, to be compared.

STEPS = 17
PARTS = ["state.json", "weights.safetensors", "optimizer.safetensors", "kept.safetensors"]
PREVIOUS = [f"previous-{name}" for name in (*PARTS, "log.jsonl")]
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulating": {"accumulate": 3, "optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
    "best": {"evaluate_every": 1, "patience": 6, "lr": 1.0, "optimizer": "adafactor"},  # best at step 7, ends after 13
    "mean": {"evaluate_every": 3, "average": 3, "optimizer": "sgd", "clip_value": 0.01},
    "bfloat16": {"precision": "bfloat16"},
}


def new_trainer(directory: Path | None, seed: int = 0, **changes: Any) -> Trainer:
    settings = config(STEPS, checkpoint_every=4, **changes)
    held_out = data(6, seed=1) if settings.evaluate_every else None
    return Trainer(bigrams(dropout=0.3, seed=seed), data(), settings, held_out=held_out, directory=directory)


def log_lines(directory: Path) -> list[dict[str, Any]]:
    """The log's lines, without what no two runs share: how long they took."""
    lines = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def losses_of(steps: list[Step]) -> list[float]:
    return [step.loss for step in steps]


def assert_same_training(resumed: Trainer, whole: Trainer) -> None:
    assert resumed.directory is not None and whole.directory is not None
    assert_same_bits(weights(resumed.model), weights(whole.model))
    own, other = resumed.optimizer.state_dict(), whole.optimizer.state_dict()
    assert own.keys() == other.keys()
    for name, value in own.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other[name])
        else:
            assert json.dumps(value) == json.dumps(other[name])
    assert log_lines(resumed.directory)[1:] == log_lines(whole.directory)[1:]
    assert resumed.finished and whole.finished
