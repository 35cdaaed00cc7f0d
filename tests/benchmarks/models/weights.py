"""Seeded parameters by name, the same for every framework's model."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.inputs import SEED, Array


class Weights(dict[str, Array]):
    """Parameters, float32, drawn in the order in which they are named."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(SEED)

    def add_matrix(self, name: str, rows: int, columns: int) -> None:
        """Normal numbers, small enough for a deep network to start from."""
        self[f"{name}.weight"] = self._rng.standard_normal((rows, columns), np.float32) * np.float32(0.02)

    def add_linear(self, name: str, columns: int, rows: int) -> None:
        """A layer from ``columns`` to ``rows`` features, its matrix being (out, in)."""
        self.add_matrix(name, rows, columns)
        self[f"{name}.bias"] = np.zeros(rows, np.float32)

    def add_norm(self, name: str, width: int) -> None:
        self[f"{name}.weight"], self[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)
