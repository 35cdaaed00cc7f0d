"""Weight selection at the end of a training: the last, the best, or a mean of the last few."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from transformer.train.config import TrainingConfig

Array = np.ndarray[Any, Any]
Weights = Mapping[str, Any]  # a module's state_dict


class LastWeights:
    """Last weights: no selection."""

    exhausted = False  # True to stop early

    def update(self, step: int, loss: float | None, weights: Weights) -> None:
        """Update with an evaluation."""

    def result(self) -> dict[str, Array] | None:
        """Selected weights, or None for the model's current ones."""
        return None

    def state_dict(self) -> dict[str, Array]:
        """State as arrays and counts by name; shares memory."""
        return {}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Restore a saved state."""


class BestWeights(LastWeights):
    """Best weights, of the lowest held-out loss; early stopping after ``patience`` evaluations without a lower one."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.loss = math.inf
        self.waited = 0
        self.weights: dict[str, Array] = {}

    @property
    def exhausted(self) -> bool:  # type: ignore[override]
        return self.waited >= self.patience

    def update(self, step: int, loss: float | None, weights: Weights) -> None:
        if loss is not None and loss < self.loss:
            self.loss, self.waited = loss, 0
            self.weights = {name: np.array(value) for name, value in weights.items()}
        else:
            self.waited += 1

    def result(self) -> dict[str, Array] | None:
        return self.weights or None

    def state_dict(self) -> dict[str, Array]:
        return {".loss": np.array(self.loss), ".waited": np.array(self.waited), **self.weights}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        self.weights = {name: np.array(value) for name, value in state.items() if not name.startswith(".")}
        self.loss, self.waited = float(state[".loss"]), int(state[".waited"])


class MeanWeights(LastWeights):
    """Mean of the weights at the last evaluations, summed in float64 (Polyak averaging)."""

    def __init__(self, steps: frozenset[int]) -> None:
        self.steps = steps
        self.count = 0
        self.sums: dict[str, Array] = {}

    def update(self, step: int, loss: float | None, weights: Weights) -> None:
        if step in self.steps:
            self.count += 1
            self.sums = {
                name: self.sums.get(name, 0.0) + np.asarray(value, np.float64) for name, value in weights.items()
            }

    def result(self) -> dict[str, Array] | None:
        return {name: total / self.count for name, total in self.sums.items()} or None

    def state_dict(self) -> dict[str, Array]:
        return {".count": np.array(self.count), **self.sums}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        self.sums = {name: np.array(value) for name, value in state.items() if not name.startswith(".")}
        self.count = int(state[".count"])


def weight_selection(config: TrainingConfig) -> LastWeights:
    """Weight selection of a configuration."""
    if config.patience is not None:
        return BestWeights(config.patience)
    if config.average > 1 and config.evaluate_every is not None:
        earlier = range(config.evaluate_every, config.steps, config.evaluate_every)
        return MeanWeights(frozenset([*earlier[-(config.average - 1) :], config.steps]))
    return LastWeights()
