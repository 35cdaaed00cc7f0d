"""Batches of labelled texts, for a classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from transformer.data.batches import Batch, by_length, digest_of, pad
from transformer.data.share import WHOLE, Share


class LabelledBatches:
    """Labelled batches for a sequence classifier: texts of about the same length, each once an epoch.

    Batches have ``inputs = (ids (B, T), mask (B, T))``, where the mask is True at tokens and False at padding, and
    ``labels`` (B,).

    Args:
        texts: ids, at least one each.
        labels: the number of each text's label.
        tokens: padded positions of a batch, at most; a longer text is a separate batch.
        pad_id: padding of the inputs.
        seed: of the order.

    Raises:
        ValueError: there are no texts, one is empty, there are not as many labels, or ``tokens`` is below 1.

    Example:
        >>> (batch,) = LabelledBatches([[5, 6, 2], [7, 2]], [0, 1], tokens=64, pad_id=0).epoch(0)
        >>> sorted(batch.labels.tolist())
        [0, 1]
    """

    def __init__(
        self, texts: Sequence[Sequence[int]], labels: Sequence[int], tokens: int, pad_id: int, seed: int = 0
    ) -> None:
        if tokens < 1:
            raise ValueError(f"tokens: expected at least 1, got {tokens}")
        if not texts or len(texts) != len(labels):
            raise ValueError(f"labels: expected one for each of several texts, got {len(labels)} for {len(texts)}")
        self._lengths = np.array([len(ids) for ids in texts])
        for number in np.flatnonzero(self._lengths == 0)[:1]:
            raise ValueError(f"texts: expected tokens in each, got none in number {number}")
        self.texts, self.labels = texts, np.asarray(labels, np.int64)
        self.tokens, self.pad_id, self.seed = tokens, pad_id, seed

    def epoch(self, number: int, share: Share = WHOLE) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, number])
        for places in by_length(self._lengths, self.tokens, rng):
            ids = pad([self.texts[place] for place in places], self.pad_id)
            real: Any = np.arange(ids.shape[1]) < self._lengths[places][:, None]
            yield Batch((ids, real), self.labels[places], self.pad_id).share(share)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of this stream of batches."""
        settings = (type(self).__name__, self.tokens, self.pad_id, self.seed)
        return digest_of(settings, [self._lengths, self.labels, *(np.asarray(ids, np.int64) for ids in self.texts)])
