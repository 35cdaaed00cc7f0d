"""How to decode, in Hugging Face's words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from transformer.config import json_object

LENGTH_PENALTIES: dict[str, Callable[[int, float], float]] = {
    "plain": lambda length, alpha: float(length**alpha),
    "paper": lambda length, alpha: float(((5 + length) / 6) ** alpha),
}


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Every choice of :func:`~transformer.decode.generate`, by the names of Hugging Face's ``generation_config.json``.

    A choice that is made means the same as there; ``length_penalty_form`` and ``seed`` are additions. Where none is
    made nothing is cut, unlike there: the limit is the model's positions, not 20 tokens; sampling is from all tokens,
    not the 50 likeliest; and a beam search goes on while it can still find a better text.

    Lists become tuples.

    Raises:
        ValueError: a value is not allowed; the message names it and says what is.

    Example:
        >>> GenerationConfig.from_json('{"num_beams": 4, "eos_token_id": [1, 2]}')
        GenerationConfig(eos_token_id=(1, 2), num_beams=4)
        >>> GenerationConfig(temperature=0)
        Traceback (most recent call last):
        ValueError: temperature: expected a number from 1e-100 to 1e100, got 0
    """

    # where a text ends
    max_new_tokens: int | None = None  # comes before max_length where both are given
    max_length: int | None = None  # the prompt included: an encoder-decoder's is its start token
    min_new_tokens: int | None = None  # comes before min_length where both are given
    min_length: int = 0  # the prompt included
    stop_strings: tuple[str, ...] = ()  # a text ends before the first of these
    eos_token_id: int | tuple[int, ...] | None = None  # None: the model's; (): none
    # search
    num_beams: int = 1
    num_return_sequences: int = 1  # for each input
    early_stopping: bool | Literal["never"] = "never"  # True: with num_beams texts; False: at Hugging Face's guess
    length_penalty: float = 1.0  # α: texts are compared by log P / penalty
    length_penalty_form: Literal["plain", "paper"] = "plain"  # length^α; ((5 + length) / 6)^α: Wu et al., 2016, eq. 14
    # sampling
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None  # the k likeliest tokens; 0 as None
    top_p: float = 1.0  # the likeliest tokens that together have this probability. Holtzman et al., 2020
    min_p: float | None = None  # tokens with this share of the likeliest one's probability. Nguyen et al., 2024
    seed: int | None = None  # None: another text each time
    # what may be said
    repetition_penalty: float = 1.0  # above 1 makes tokens that were said less likely. Keskar et al., 2019, section 4.1
    no_repeat_ngram_size: int = 0  # no n tokens twice; 0 is off. Paulus et al., 2017, section 2.5
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()  # not as the first token
    forced_bos_token_id: int | None = None  # as the first token after the start token
    forced_eos_token_id: int | tuple[int, ...] | None = None  # as the last token that the limit allows
    renormalize_logits: bool = False  # beams are compared by probabilities that add up to 1 again
    # the model's own
    use_cache: bool = True
    pad_token_id: int | None = None  # what is padding where no attention_mask says so, unless texts end with it
    bos_token_id: int | None = None  # kept for others: a text begins with its prompt
    decoder_start_token_id: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stop_strings, str):
            object.__setattr__(self, "stop_strings", (self.stop_strings,))
        for field in dataclasses.fields(self):
            value = _tupled(getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            expected, allowed = ALLOWED[field.name]
            if not (allowed(value) or (field.default is None and value is None)):
                raise ValueError(f"{field.name}: expected {expected}, got {value!r}")
        if self.max_new_tokens is not None and (self.min_new_tokens or 0) > self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens: expected at most max_new_tokens={self.max_new_tokens}, got {self.min_new_tokens}"
            )

    def __repr__(self) -> str:
        return f"GenerationConfig({', '.join(f'{name}={value!r}' for name, value in self._choices().items())})"

    def _choices(self) -> dict[str, Any]:
        """What differs from the defaults."""
        values = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: value for field, value in values if value != field.default}

    def to_json(self) -> str:
        """The document ``generation_config.json``, with the choices made and those that Hugging Face would add."""
        choices = self._choices()
        if self.num_beams > 1:
            choices["early_stopping"] = self.early_stopping
        if self.do_sample:
            choices["top_k"] = self.top_k or 0
        return json.dumps(choices, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> GenerationConfig:
        """Read ``generation_config.json``. Names unknown here and values of null are passed over.

        Raises:
            ValueError: it is not a JSON object, or a value is not allowed.
        """
        values = json_object(text)
        return cls(**{name: value for name, value in values.items() if name in ALLOWED and value is not None})

    def penalty(self, length: int) -> float:
        """What the log-probability of a text of ``length`` tokens, its end included, is divided by.

        Example:
            >>> GenerationConfig(length_penalty=2.0).penalty(3)
            9.0
        """
        return LENGTH_PENALTIES[self.length_penalty_form](length, self.length_penalty)


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, (list, tuple)) else value


Rule = tuple[str, Callable[[Any], bool]]  # what is allowed, in words and as a test


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _at_least(least: int) -> Rule:
    return f"an integer of at least {least}", lambda value: _is_integer(value) and value >= least


def _is_ids(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_integer(i) and i >= 0 for i in value)


# Beyond this nothing changes any more, but scores multiplied by it overflow.
FACTOR: Rule = "a number from 1e-100 to 1e100", lambda value: _is_number(value) and 1e-100 <= value <= 1e100
PROBABILITY: Rule = "a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1
BOOL: Rule = "True or False", lambda value: isinstance(value, bool)
ID: Rule = "a token id", lambda value: _is_integer(value) and value >= 0
IDS: Rule = "a list of token ids", _is_ids
ID_OR_IDS: Rule = "a token id or a list of them", lambda value: ID[1](value) or _is_ids(value)

ALLOWED: dict[str, Rule] = {
    "max_new_tokens": _at_least(1),
    "max_length": _at_least(1),
    "min_new_tokens": _at_least(0),
    "min_length": _at_least(0),
    "stop_strings": (
        "strings of at least one character",
        lambda value: isinstance(value, tuple) and all(isinstance(s, str) and s for s in value),
    ),
    "eos_token_id": ID_OR_IDS,
    "num_beams": ("an integer from 1 to 10,000", lambda value: _is_integer(value) and 1 <= value <= 10_000),
    "num_return_sequences": _at_least(1),
    "early_stopping": ("True, False or 'never'", lambda value: isinstance(value, bool) or value == "never"),
    "length_penalty": ("a number from -50 to 50", lambda value: _is_number(value) and abs(value) <= 50),
    "length_penalty_form": (
        " or ".join(map(repr, LENGTH_PENALTIES)),
        lambda value: isinstance(value, str) and value in LENGTH_PENALTIES,
    ),
    "do_sample": BOOL,
    "temperature": FACTOR,
    "top_k": _at_least(0),
    "top_p": PROBABILITY,
    "min_p": PROBABILITY,
    "seed": _at_least(0),
    "repetition_penalty": FACTOR,
    "no_repeat_ngram_size": _at_least(0),
    "bad_words_ids": (
        "lists of token ids",
        lambda value: isinstance(value, tuple) and all(_is_ids(word) and word for word in value),
    ),
    "suppress_tokens": IDS,
    "begin_suppress_tokens": IDS,
    "forced_bos_token_id": ID,
    "forced_eos_token_id": ID_OR_IDS,
    "renormalize_logits": BOOL,
    "use_cache": BOOL,
    "pad_token_id": ID,
    "bos_token_id": ID,
    "decoder_start_token_id": ID,
}
