"""Sentence pairs as padded arrays: batches of about the same number of tokens, of pairs of about the same length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.int64]]
EncodedPair = tuple[Sequence[int], Sequence[int]]  # source and target ids, each ended by eos


@dataclass(frozen=True)
class Batch:
    """B pairs: what the encoder reads, what the decoder reads, and what it shall say at each position."""

    source: Ids  # (B, S)
    target_in: Ids  # (B, T): bos, then the target without its end
    target_out: Ids  # (B, T): the target, ended by eos


def pad(sequences: Sequence[Sequence[int]], pad_id: int) -> Ids:
    """Sequences of ids as one (count, longest) array, padded at their ends."""
    ids = np.full((len(sequences), max(map(len, sequences), default=0)), pad_id, np.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = sequence
    return ids


def make_batch(pairs: Sequence[EncodedPair], pad_id: int, bos_id: int) -> Batch:
    """Pairs as one batch."""
    return Batch(
        source=pad([source for source, _ in pairs], pad_id),
        target_in=pad([[bos_id, *target[:-1]] for _, target in pairs], pad_id),
        target_out=pad([target for _, target in pairs], pad_id),
    )


def batches(
    pairs: Sequence[EncodedPair], tokens: int, pad_id: int, bos_id: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """All pairs once, in random order, as batches of at most ``tokens`` padded positions on either side.

    Pairs are sorted by length, with random ties, cut into batches, and the batches shuffled: little padding, and no
    two epochs alike. Source: "Attention Is All You Need", section 5.1. One pass sorts: O(n log n).
    """
    order = rng.permutation(len(pairs))
    lengths = np.array([max(len(source), len(target)) for source, target in pairs])
    # A little noise mixes neighbouring lengths: pairs meet different companions in every epoch.
    order = order[np.argsort(lengths[order] + rng.random(len(pairs)) * 2, kind="stable")]
    groups: list[list[int]] = [[]]
    longest = 0
    for index in order.tolist():
        longest = max(longest, int(lengths[index]))
        if groups[-1] and (len(groups[-1]) + 1) * longest > tokens:
            groups.append([])
            longest = int(lengths[index])
        groups[-1].append(index)
    for position in rng.permutation(len(groups)).tolist():
        if groups[position]:
            yield make_batch([pairs[index] for index in groups[position]], pad_id, bos_id)
