"""Decoding plan: a generation configuration, applied to one batch and one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad import kernels
from transformer.decode.config import GenerationConfig
from transformer.decode.hypothesis import Reader, Text
from transformer.decode.processors import PADDING, Processor, ids_of, processors
from transformer.decode.protocol import Decoding, Ids, Mask, ModelConfig, Scores


@dataclass(frozen=True)
class Plan:
    """Decoding plan of one batch."""

    config: GenerationConfig
    eos: tuple[int, ...]  # the tokens that end a text
    history: Ids  # (rows, P) the prompts, as processors read them
    new_tokens: int  # at most
    process: Processor
    reader: Reader | None  # where there is a tokenizer

    @property
    def prompt_length(self) -> int:
        return self.history.shape[1]

    @property
    def can_stop(self) -> bool:
        """True if a text may end at a stop string."""
        return bool(self.config.stop_strings)

    def is_over(self, text: Text) -> bool:
        """True if the text has ended, by an end token or a stop string."""
        if not self.can_stop or self.reader is None:
            return text.ended
        return text.ended or self.reader.after(text.prompt).stop(text.ids) is not None

    def prompt(self, row: int) -> list[int]:
        """Tokens of a row's prompt, without padding."""
        tokens: list[int] = self.history[row, self.history[row] != PADDING].tolist()
        return tokens

    def nothing_allowed(self, row: int) -> ValueError:
        return ValueError(
            f"row {row}: no token is allowed to follow; bad_words_ids, suppress_tokens, no_repeat_ngram_size and the "
            "least length leave none"
        )


def make_plan(config: GenerationConfig, model: ModelConfig, decoding: Decoding, reader: Reader | None) -> Plan:
    """Make a plan: the tokens that end a text, and its maximum length.

    Raises:
        ValueError: the text asked for does not fit into the model's positions, or a token is not in its vocabulary.
    """
    eos = end_ids(config, model)
    history = right_aligned(decoding.prompt, decoding.prompt_mask)
    new_tokens = _max_new_tokens(config, model, history.shape[1])
    _check_vocabulary(config, model.vocab_size)
    return Plan(config, eos, history, new_tokens, processors(config, eos, history.shape[1], new_tokens), reader)


def end_ids(config: GenerationConfig, model: ModelConfig) -> tuple[int, ...]:
    """End tokens: those given, or else the model's."""
    return ids_of(model.eos_id if config.eos_token_id is None else config.eos_token_id)


def right_aligned(prompt: Ids, mask: Mask) -> Ids:
    """Right-align the tokens of each row, after its ``PADDING``.

    Example:
        >>> right_aligned(np.array([[7, 8, 0], [0, 7, 8]]), np.array([[True, True, False], [False, True, True]]))
        array([[-1,  7,  8],
               [-1,  7,  8]])
    """
    order = np.argsort(mask, axis=1, kind="stable")
    return np.take_along_axis(np.where(mask, prompt, PADDING), order, 1)


def checked(logits: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Scores]:
    """Check logits (rows, V); return them, and what to subtract for log-probabilities (rows,), in float64.

    Raises:
        ValueError: a row has a NaN or infinity, or is -inf everywhere.
    """
    if logits.dtype not in (np.float32, np.float64):
        logits = np.asarray(logits, np.float64)
    normalizer: Scores = kernels.logsumexp(logits)
    if not np.isfinite(normalizer).all():
        row = int(np.flatnonzero(~np.isfinite(normalizer))[0])
        greatest = logits[row].max()
        what = "-inf everywhere" if greatest == -np.inf else f"{greatest}"
        raise ValueError(f"logits: expected finite numbers, or some beside -inf; row {row} has {what}")
    return logits, normalizer


def _max_new_tokens(config: GenerationConfig, model: ModelConfig, prompt_length: int) -> int:
    """Maximum number of new tokens. The last one is never read, and so needs no position."""
    limit = getattr(model, "position_limit", model.max_length)  # None where positions are relative
    positions = None if limit is None else limit + 1 - prompt_length
    if positions is not None and positions < 1:
        raise ValueError(f"input_ids: {prompt_length} tokens are more than the model's max_length={limit}")
    if config.max_new_tokens is not None:
        name, given, before = "max_new_tokens", config.max_new_tokens, 0
    elif config.max_length is not None:
        name, given, before = "max_length", config.max_length, prompt_length
    elif model.max_length is None:
        raise ValueError("max_new_tokens: missing; the model has no maximum length")
    elif positions is None:
        left = model.max_length + 1 - prompt_length  # of the length that it was trained with
        name, given, before = "max_new_tokens", left if left > 0 else model.max_length, 0
    else:
        name, given, before = "max_new_tokens", positions, 0
    new_tokens = given - before
    if new_tokens < 1 or (positions is not None and new_tokens > positions):
        most = "" if positions is None else f" and at most {positions + before}"
        raise ValueError(f"{name}: expected at least {1 + before}{most} after {prompt_length} tokens, got {given}")
    return new_tokens


def _check_vocabulary(config: GenerationConfig, vocab_size: int) -> None:
    for name in (
        "suppress_tokens",
        "begin_suppress_tokens",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "eos_token_id",
    ):
        _check_ids(name, ids_of(getattr(config, name)), vocab_size)
    for word in config.bad_words_ids:
        _check_ids("bad_words_ids", word, vocab_size)


def _check_ids(name: str, ids: tuple[int, ...], vocab_size: int) -> None:
    if ids and max(ids) >= vocab_size:
        raise ValueError(f"{name}: expected token ids below the vocabulary's size {vocab_size}, got {max(ids)}")
