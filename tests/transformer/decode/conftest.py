"""Models small enough to enumerate every text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from transformer.decode import GenerationConfig, Hypothesis

Array = np.ndarray[Any, Any]
EOS = 0


class TableModel:
    """Logits from a table, by the last two tokens; it remembers each row's tokens, so that a wrong row is noticed."""

    def __init__(self, vocab_size: int = 5, seed: int = 0, pad_id: int | None = None, **generation: Any) -> None:
        self.config = SimpleNamespace(vocab_size=vocab_size, pad_id=pad_id, eos_id=EOS, max_length=32)
        self.generation = GenerationConfig(**generation)
        self.table = np.random.default_rng(seed).normal(0, 1.5, (vocab_size,) * 3)
        self.rows_read: list[int] = []  # of each step

    def begin(self, input_ids: Array, attention_mask: Array | None, *, use_cache: bool) -> TableDecoding:
        if attention_mask is None:
            attention_mask = input_ids != (-1 if self.config.pad_id is None else self.config.pad_id)
        return TableDecoding(self, input_ids, attention_mask)

    def logits(self, tokens: Sequence[int]) -> Array:
        return self.table[tokens[-2] if len(tokens) > 1 else 0, tokens[-1]]

    def log_probability(self, prompt: Sequence[int], new: Iterable[int]) -> float:
        total, tokens = 0.0, list(prompt)
        for token in new:
            logits = self.logits(tokens)
            total += float(logits[token] - np.log(np.exp(logits).sum()))
            tokens.append(token)
        return total

    def every_text(self, prompt: Sequence[int], limit: int) -> list[Hypothesis]:
        """Every text that ends within ``limit`` tokens or is truncated there."""
        words = range(1, self.config.vocab_size)
        texts = [
            Hypothesis(list(ids), self.log_probability(prompt, [*ids, EOS]), True)
            for length in range(limit)
            for ids in itertools.product(words, repeat=length)
        ]
        return texts + [
            Hypothesis(list(ids), self.log_probability(prompt, ids), False)
            for ids in itertools.product(words, repeat=limit)
        ]


class TableDecoding:
    def __init__(self, model: TableModel, prompt: Array, mask: Array) -> None:
        self.model, self.prompt, self.prompt_mask = model, prompt, mask
        self.said: list[list[int]] = [ids[real].tolist() for ids, real in zip(prompt, mask, strict=True)]
        self.begun = False

    def step(self, tokens: Array) -> Array:
        assert len(tokens) == len(self.said)
        self.model.rows_read.append(len(tokens))
        if self.begun:
            self.said = [[*said, *new] for said, new in zip(self.said, tokens.tolist(), strict=True)]
        self.begun = True
        return np.stack([self.model.logits(said) for said in self.said])

    def reorder(self, rows: Array) -> None:
        self.said = [self.said[row] for row in rows.tolist()]


class Spelling:
    """A tokenizer of few tokens, some longer than a character and two the halves of one."""

    pieces = (b"", b"a", b"b", b"ab", b"cab", b".", "é".encode()[:1], "é".encode()[1:])

    def decode(self, sequences: Iterable[Sequence[int]]) -> list[str]:
        return [b"".join(self.pieces[i] for i in ids).decode(errors="replace") for ids in sequences]


class Reciter(TableModel):
    """Model that generates given tokens, in order, and then ends."""

    def __init__(self, *ids: int) -> None:
        super().__init__(vocab_size=len(Spelling.pieces))
        self.ids = [*ids, EOS]

    def logits(self, tokens: Sequence[int]) -> Array:
        return 5 * np.eye(self.config.vocab_size)[self.ids[len(tokens) - 1]]


@pytest.fixture
def model() -> TableModel:
    return TableModel()
