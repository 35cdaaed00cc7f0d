"""The GPT of the benchmarks, for all frameworks: sizes, weights, data, and operations of a step.

The network is nanoGPT's: learned positions, pre-norm blocks, one projection for queries, keys and values, exact GELU,
and the token embedding used again, transposed, as the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.inputs import SEED, Array
from tests.benchmarks.models.weights import Weights


@dataclass(frozen=True)
class GPTSize:
    """A batch of B sequences of T tokens; L layers of H heads, C wide; V tokens in the vocabulary."""

    batch: int
    context: int
    layers: int
    heads: int
    width: int
    vocabulary: int

    @property
    def tokens(self) -> int:
        """The tokens of one step."""
        return self.batch * self.context

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        block = 12 * self.width**2 + 13 * self.width
        return self.layers * block + (self.vocabulary + self.context + 2) * self.width

    @property
    def step_flops(self) -> float:
        """Multiplications and additions of forward and backward: 2 + 4 for each weight of a product and token, and
        attention's two products, of which a causal mask leaves half."""
        weights = 12 * self.layers * self.width**2 + self.vocabulary * self.width
        attention = self.layers * self.context * self.width
        return 6.0 * self.tokens * (weights + attention)


SIZES = {
    "nano": GPTSize(12, 64, 4, 4, 128, 65),
    "small": GPTSize(8, 128, 6, 6, 384, 512),
    "medium": GPTSize(4, 256, 6, 8, 512, 8192),
}


def weights(size: GPTSize) -> Weights:
    """Every parameter by name."""
    width = size.width
    found = Weights()
    found.add_matrix("tokens", size.vocabulary, width)
    found.add_matrix("positions", size.context, width)
    for layer in range(size.layers):
        block = f"blocks.{layer}"
        found.add_norm(f"{block}.attention_norm", width)
        found.add_linear(f"{block}.attention.project", width, 3 * width)
        found.add_linear(f"{block}.attention.output", width, width)
        found.add_norm(f"{block}.feed_forward_norm", width)
        found.add_linear(f"{block}.expand", width, 4 * width)
        found.add_linear(f"{block}.contract", 4 * width, width)
    found.add_norm("norm", width)
    return found


def gradients(size: GPTSize) -> dict[str, Array]:
    """Random ones, for an optimizer without a model."""
    rng = np.random.default_rng(SEED + 1)
    return {name: np.asarray(rng.standard_normal(array.shape, np.float32)) for name, array in weights(size).items()}


def batch(size: GPTSize) -> tuple[Array, Array]:
    """Tokens (B, T), and for each the one that follows it."""
    tokens = np.random.default_rng(SEED).integers(0, size.vocabulary, (size.batch, size.context + 1))
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def prompt(size: GPTSize, rows: int) -> Array:
    """Prompts (rows, T / 4) of decoding."""
    return np.random.default_rng(SEED).integers(0, size.vocabulary, (rows, size.context // 4))
