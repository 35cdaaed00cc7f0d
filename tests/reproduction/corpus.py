"""The sentence pairs of a comparison, split the same way in every process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.reproduction.recipe import Recipe
from transformer.data import Pair, read_pairs, split_pairs
from transformer.data.batches import PairBatches
from transformer.data.tokenizer import Tokenizer

SPLIT_SEED = 0


@dataclass(frozen=True)
class Corpus:
    """Pairs as they stand in the file, none left out; no held-out source occurs in training."""

    train: Sequence[Pair]
    held_out: Sequence[Pair]

    @classmethod
    def read(cls, recipe: Recipe) -> Corpus:
        """The corpus of a recipe."""
        return cls(*split_pairs(read_pairs(recipe.data), held_out=recipe.held_out, seed=SPLIT_SEED))

    def describe(self) -> dict[str, int]:
        """Counts that say how hard the held-out part is."""
        known = {target for _, target in self.train}
        return {
            "training_pairs": len(self.train),
            "held_out_pairs": len(self.held_out),
            "held_out_sources": len({source for source, _ in self.held_out}),
            "held_out_targets_known_from_training": sum(target in known for _, target in self.held_out),
        }


def batches(pairs: Sequence[Pair], tokenizer: Tokenizer, recipe: Recipe) -> PairBatches:
    """Pairs as batches, the same in the same order whoever asks."""
    sources, targets = (tokenizer.encode([pair[side] for pair in pairs]) for side in (0, 1))
    encoded = list(zip(sources, targets, strict=True))
    return PairBatches(encoded, recipe.batch_tokens, tokenizer.pad_id, tokenizer.bos_id, recipe.seed)
