"""What the GPT of the benchmarks is, whatever framework runs it: sizes, weights, data, and how much work a step is.

The network is nanoGPT's: learned positions, pre-norm blocks, one projection for queries, keys and values, exact GELU,
and the token embedding used again, transposed, as the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.benchmarks.inputs import SEED, Array

# The optimizer of the training step.
LR, BETAS, WEIGHT_DECAY, CLIP_NORM = 1e-3, (0.9, 0.95), 0.1, 1.0
CHECKED_STEPS = 3  # whose losses must agree


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


def weights(size: GPTSize) -> dict[str, Array]:
    """Every parameter by name, as float32; matrices are (out, in)."""
    rng = np.random.default_rng(SEED)
    width = size.width

    def matrix(rows: int, columns: int) -> Array:
        return rng.standard_normal((rows, columns), np.float32) * np.float32(0.02)

    def zeros(count: int) -> Array:
        return np.zeros(count, np.float32)

    found = {"tokens.weight": matrix(size.vocabulary, width), "positions.weight": matrix(size.context, width)}

    def add_norm(name: str) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = np.ones(width, np.float32), zeros(width)

    def add_linear(name: str, columns: int, rows: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = matrix(rows, columns), zeros(rows)

    for layer in range(size.layers):
        block = f"blocks.{layer}"
        add_norm(f"{block}.attention_norm")
        add_linear(f"{block}.attention.project", width, 3 * width)
        add_linear(f"{block}.attention.output", width, width)
        add_norm(f"{block}.feed_forward_norm")
        add_linear(f"{block}.expand", width, 4 * width)
        add_linear(f"{block}.contract", 4 * width, width)
    add_norm("norm")
    return found


def batch(size: GPTSize) -> tuple[Array, Array]:
    """Tokens (B, T), and for each the one that follows it."""
    tokens = np.random.default_rng(SEED).integers(0, size.vocabulary, (size.batch, size.context + 1))
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def prompt(size: GPTSize, rows: int) -> Array:
    """The beginnings (rows, T / 4) that decoding goes on from."""
    return np.random.default_rng(SEED).integers(0, size.vocabulary, (rows, size.context // 4))
