"""Hypotheses: generated texts, ended by an end token or a stop string."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from transformer.data.normalization import UNFINISHED


class TextDecoder(Protocol):
    """Protocol of a tokenizer that decodes."""

    def decode(self, sequences: Iterable[Sequence[int]], /) -> list[str]: ...


@dataclass(frozen=True)
class Hypothesis:
    """Hypothesis: a generated text."""

    ids: list[int]  # the new tokens, without their end
    log_probability: float  # the model's, of these tokens and of their end where there is one
    finished: bool  # True: by an end token or a stop string; False: at the maximum length
    text: str | None = None  # up to a stop string; where a tokenizer was given


@dataclass(frozen=True)
class Reader:
    """Stop string detection in texts.

    A text is decoded as a whole each time, since a token's characters may depend on the ones before: O(length) a step.
    """

    tokenizer: TextDecoder
    stop_strings: tuple[str, ...]
    before: tuple[int, ...] = ()  # the preceding tokens: after text, a token may begin with a space

    def after(self, prompt: Sequence[int]) -> Reader:
        """Reader for texts that follow these tokens."""
        return replace(self, before=tuple(prompt))

    def text(self, ids: Sequence[int]) -> str:
        alone, before, whole = self.tokenizer.decode([ids, self.before, [*self.before, *ids]])
        return whole[len(before) :] if whole.startswith(before) else alone

    def stop(self, ids: Sequence[int]) -> int | None:
        """Index of the character at which the first stop string begins."""
        if not self.stop_strings:
            return None
        text = self.text(ids)
        return min((at for string in self.stop_strings if (at := text.find(string)) >= 0), default=None)

    def tokens_before(self, ids: Sequence[int], at: int) -> int:
        """Number of tokens with all their characters before character ``at``."""
        before = self.text(ids)[:at]
        # From the end: bytes of an incomplete character decode differently until later tokens complete it.
        return next(count for count in range(len(ids), -1, -1) if before.startswith(self.text(ids[:count])))

    def settled(self, ids: Sequence[int]) -> int:
        """Number of tokens that cannot become part of a stop string, whatever follows."""
        if (at := self.stop(ids)) is not None:
            return self.tokens_before(ids, at)
        text = self.text(ids).rstrip(UNFINISHED)
        longest = max(map(len, self.stop_strings), default=0)
        endings = range(max(len(text) - longest, 0), len(text))
        begun = (at for at in endings if any(string.startswith(text[at:]) for string in self.stop_strings))
        return self.tokens_before(ids, next(begun, len(text)))


@dataclass
class Text:
    """Partial text of one row."""

    prompt: Sequence[int] = ()  # the preceding tokens
    ids: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)  # of the ids, and of the end
    ended: bool = False  # by an end token

    def add(self, token: int, log_probability: float, eos: Sequence[int]) -> None:
        self.log_probabilities.append(log_probability)
        self.ended = token in eos
        if not self.ended:
            self.ids.append(token)

    def hypothesis(self, reader: Reader | None) -> Hypothesis:
        """Hypothesis of the text, cut before the first stop string."""
        reader = reader and reader.after(self.prompt)
        at = reader.stop(self.ids) if reader else None
        text = reader.text(self.ids)[:at] if reader else None
        if reader is None or at is None:
            return Hypothesis(self.ids, sum(self.log_probabilities), self.ended, text)
        count = reader.tokens_before(self.ids, at)
        return Hypothesis(self.ids[:count], sum(self.log_probabilities[:count]), True, text)
