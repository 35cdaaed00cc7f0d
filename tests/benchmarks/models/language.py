"""Language models as people run them, for all frameworks: shapes of two of them, with random weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.inputs import SEED, Array

FORMATS = {"float32": 4, "bfloat16": 2, "int8-weights": 1, "int8": 1}  # and bytes of a weight


@dataclass(frozen=True)
class LanguageModel:
    """Decoder with rotary positions, RMSNorm, SwiGLU, grouped queries and a tied embedding."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    groups: int
    inner: int
    rotary_base: float

    @property
    def weights(self) -> int:
        """Weights that a token is multiplied by."""
        head = self.width // self.heads
        attention = 2 * self.width * head * (self.heads + self.groups)
        return self.layers * (attention + 3 * self.width * self.inner) + self.vocabulary * self.width

    def prompt(self, rows: int, length: int) -> Array:
        """Token ids (rows, length)."""
        return np.random.default_rng(SEED).integers(0, self.vocabulary, (rows, length))


SHAPES = {
    "smollm2-135m": LanguageModel(49152, 576, 30, 9, 3, 1536, 1e5),
    "qwen2.5-0.5b": LanguageModel(151936, 896, 24, 14, 2, 4864, 1e6),
    "tiny": LanguageModel(100, 64, 2, 4, 2, 96, 1e4),  # for tests
}
