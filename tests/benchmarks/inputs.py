"""Descriptions of a job's inputs. Every framework's process draws the same numbers from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SEED = 7


class Input(ABC):
    """An array that is not there yet."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Array:
        """The numbers."""


@dataclass(frozen=True)
class Normal(Input):
    """Standard normal numbers, times ``scale``."""

    shape: tuple[int, ...]
    scale: float = 1.0

    def draw(self, rng: np.random.Generator) -> Array:
        return rng.standard_normal(self.shape, np.float32) * np.float32(self.scale)


@dataclass(frozen=True)
class Heads(Input):
    """(B, H, T, D) as attention meets it: a view of the projection's result (B, T, H · D), heads strided."""

    batch: int
    heads: int
    length: int
    width: int

    def draw(self, rng: np.random.Generator) -> Array:
        apart = rng.standard_normal((self.batch, self.length, self.heads, self.width), np.float32)
        return apart.transpose(0, 2, 1, 3)


@dataclass(frozen=True)
class Integers(Input):
    """Integers in [0, below); every ``ignored_every``-th, if any, is -100."""

    shape: tuple[int, ...]
    below: int
    ignored_every: int = 0

    def draw(self, rng: np.random.Generator) -> Array:
        values = rng.integers(0, self.below, self.shape)
        if self.ignored_every:
            values[:: self.ignored_every] = -100
        return values


@dataclass(frozen=True)
class Padding(Input):
    """A mask (B, 1, 1, K), True for the first part of each row, which is at least half of it."""

    batch: int
    length: int

    def draw(self, rng: np.random.Generator) -> Array:
        lengths = rng.integers((self.length + 1) // 2, self.length + 1, self.batch)
        return (np.arange(self.length) < lengths[:, None])[:, None, None, :]


def draw(inputs: Mapping[str, Input]) -> dict[str, Array]:
    """All inputs of a job, always the same numbers."""
    rng = np.random.default_rng(SEED)
    return {name: given.draw(rng) for name, given in inputs.items()}


def cotangent(shape: tuple[int, ...]) -> Array:
    """The gradient that backward passes start from: 1 for a loss, normal numbers for anything else."""
    if not shape:
        return np.ones((), np.float32)
    return np.random.default_rng(SEED + 1).standard_normal(shape, np.float32)
