"""Workload of a run: the network, its batches, and the share of each that a process takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from tests.benchmarks.inputs import Array
from tests.benchmarks.models import gpt, seq2seq
from tests.benchmarks.models.gpt import SIZES, GPTSize
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from transformer.data.share import Share

ENCODER_DECODER = "encoder-decoder"
TINY = "tiny"  # to try things out
SEQ2SEQ = {
    ENCODER_DECODER: Seq2SeqSize(),
    TINY: Seq2SeqSize(layers=1, heads=2, width=16, vocabulary=50, tokens=128, lengths=(4, 8)),
}
MODELS = (*SEQ2SEQ, *SIZES)


class Part(NamedTuple):
    """Rows of a batch that a process takes."""

    inputs: tuple[Array, ...]
    labels: Array  # ignored ones are -100
    first: int  # row of the whole batch
    weight: float  # of its mean loss: its share of the labels that count


@dataclass(frozen=True)
class Workload:
    """Workload of a run, the same for every number of processes.

    Args:
        model: one of ``MODELS``.
        tokens: padded ones of each batch; 0: as many as the model's benchmark has.
        steps: each on one batch, in turns.
        warm_up: steps before those.
        dropout: of the encoder-decoder.
    """

    model: str = ENCODER_DECODER
    tokens: int = 0
    steps: int = 6
    warm_up: int = 3
    dropout: float = 0.1

    @property
    def size(self) -> Seq2SeqSize | GPTSize:
        """Sizes of the network and its batches."""
        if self.model in SEQ2SEQ:
            encoder_decoder = SEQ2SEQ[self.model]
            return replace(encoder_decoder, tokens=self.tokens or encoder_decoder.tokens)
        decoder = SIZES[self.model]
        return replace(decoder, batch=self.tokens // decoder.context or decoder.batch)

    @property
    def rows(self) -> int:
        """Number of rows of the smallest batch."""
        size = self.size
        return size.batch if isinstance(size, GPTSize) else size.tokens // max(size.lengths)

    def parts(self, share: Share) -> list[Part]:
        """Rows of each batch that a process takes."""
        found = []
        for inputs, labels in self._batches():
            rows = share.rows(len(labels))
            weight = float(np.sum(labels[rows] >= 0) / np.sum(labels >= 0))
            found.append(Part(tuple(array[rows] for array in inputs), labels[rows], rows.start, weight))
        return found

    def _batches(self) -> Iterator[tuple[tuple[Array, ...], Array]]:
        if isinstance(self.size, GPTSize):
            tokens, following = gpt.batch(self.size)
            yield (tokens,), following
            return
        for source, target, labels in seq2seq.batches(self.size):
            yield (source, target), np.where(labels == seq2seq.PAD, -100, labels)
