"""The encoder-decoder of the benchmarks: sizes, weights and batches of several lengths.

The network is that of "Attention Is All You Need", section 3, with one matrix for source, target and output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.inputs import SEED, Array
from tests.benchmarks.models.weights import Weights

PAD, BOS, EOS = 0, 1, 2
LABEL_SMOOTHING = 0.1
SOURCE_TOKENS, NEW_TOKENS = 20, 32  # of a translation
LONGEST = 64  # positions


@dataclass(frozen=True)
class Seq2SeqSize:
    """L layers on either side, H heads, C wide; a batch for each length, of the same number of padded tokens."""

    layers: int = 4
    heads: int = 8
    width: int = 256
    vocabulary: int = 8192
    tokens: int = 4096
    lengths: tuple[int, ...] = (16, 32, 64)

    @classmethod
    def base(cls) -> Seq2SeqSize:
        """The base model of "Attention Is All You Need", Table 3, with a smaller vocabulary."""
        return cls(layers=6, heads=8, width=512, vocabulary=8000)

    @property
    def inner(self) -> int:
        """The width inside the feed-forward network."""
        return 4 * self.width

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        encoder = 12 * self.width**2 + 13 * self.width
        decoder = 16 * self.width**2 + 19 * self.width
        return self.layers * (encoder + decoder) + self.vocabulary * self.width

    @property
    def encoder_weights(self) -> int:
        """Weights that a source is multiplied with, those of the memory's keys and values among them."""
        return self.layers * (12 + 2) * self.width**2

    @property
    def decoder_weights(self) -> int:
        """Weights that each token decoded after the first is multiplied with."""
        return self.layers * (16 - 2) * self.width**2 + self.vocabulary * self.width

    @property
    def flops(self) -> float:
        """Multiplications and additions of a step on each batch: 6 for each weight of a product and token, and for
        each pair of positions in attention 12 a feature, of which a causal mask leaves half."""
        weights = self.encoder_weights + self.decoder_weights
        pairs = sum(self.layers * length * self.width * (1 + 0.5 + 1) for length in self.lengths)
        return self.tokens * (6.0 * weights * len(self.lengths) + 12.0 * pairs)


def weights(size: Seq2SeqSize) -> Weights:
    """Every parameter by name."""
    found = Weights()
    found.add_matrix("encoder.tokens", size.vocabulary, size.width)
    for side, attentions in (("encoder", ["self_attention"]), ("decoder", ["self_attention", "cross_attention"])):
        for layer in range(size.layers):
            prefix = f"{side}.layers.{layer}"
            for attention in attentions:
                for part in ("query", "key", "value", "output"):
                    found.add_linear(f"{prefix}.{attention}.{part}", size.width, size.width)
                found.add_norm(f"{prefix}.{attention}_residual.norm", size.width)
            found.add_linear(f"{prefix}.feed_forward.expand", size.width, size.inner)
            found.add_linear(f"{prefix}.feed_forward.contract", size.inner, size.width)
            found.add_norm(f"{prefix}.feed_forward_residual.norm", size.width)
    return found


def endless_weights(size: Seq2SeqSize) -> Weights:
    """Weights of a model that never ends a text: the logit of the end is 0, and never among the highest."""
    found = weights(size)
    found["encoder.tokens.weight"][EOS] = 0
    return found


def positions(length: int, width: int) -> Array:
    """Sinusoidal positions (length, width), float32: "Attention Is All You Need", section 3.5."""
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, width).astype(np.float32)


def source(size: Seq2SeqSize, rows: int) -> Array:
    """Sources (rows, SOURCE_TOKENS) of a translation, without padding."""
    return np.random.default_rng(SEED).integers(EOS + 1, size.vocabulary, (rows, SOURCE_TOKENS))


def target(size: Seq2SeqSize, rows: int) -> Array:
    """Decoder inputs (rows, NEW_TOKENS) of a forward pass."""
    ids = np.random.default_rng(SEED + 1).integers(EOS + 1, size.vocabulary, (rows, NEW_TOKENS))
    ids[:, 0] = BOS
    return ids


def batches(size: Seq2SeqSize) -> Iterator[tuple[Array, Array, Array]]:
    """For each length: source (B, S), decoder inputs (B, T), and labels (B, T)."""
    rng = np.random.default_rng(SEED)
    for length in size.lengths:
        rows = size.tokens // length
        source, target = (_sentences(rng, rows, length, size.vocabulary) for _ in range(2))
        shifted = np.concatenate([np.full((rows, 1), BOS), np.where(target == EOS, PAD, target)[:, :-1]], axis=1)
        yield source, shifted, target


def _sentences(rng: np.random.Generator, rows: int, length: int, vocabulary: int) -> Array:
    """Random tokens, each row ended by EOS somewhere in its last quarter, and padded."""
    ids = rng.integers(EOS + 1, vocabulary, (rows, length))
    ends = rng.integers(3 * length // 4, length, (rows, 1))
    places = np.arange(length)
    return np.where(places < ends, ids, np.where(places == ends, EOS, PAD))
