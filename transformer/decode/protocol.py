"""Protocols of models for decoding."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from transformer.decode.config import GenerationConfig

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


class Decoding(Protocol):
    """Decoding state of a batch of texts."""

    @property
    def prompt(self) -> Ids:
        """Prompt (rows, P) before the first new token: a causal model's own, padded on either side; an
        encoder-decoder's start token."""

    @property
    def prompt_mask(self) -> Mask:
        """Prompt mask (rows, P): True where ``prompt`` is a token, False where it is padding."""

    def step(self, tokens: Ids) -> npt.NDArray[Any]:
        """Read (rows, new) tokens, at first the prompt; return the logits (rows, V) of the next token.

        It computes no gradients and is in evaluation mode.
        """

    def reorder(self, rows: Ids) -> None:
        """Reorder the batch: keep these rows, in this order, with repetitions."""


@runtime_checkable
class Reserving(Protocol):
    """Decoding state that has room for what is to come; optional."""

    def reserve(self, new_tokens: int, copies: int) -> None:
        """Make room, before the prompt is read, for so many new tokens of so many copies of each text."""


class ModelConfig(Protocol):
    """Model configuration, as far as decoding reads it."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def pad_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int | None: ...
    @property
    def max_length(self) -> int | None:
        """Maximum length in positions; None without a limit. A ``position_limit`` of None means relative positions."""


class Generative(Protocol):
    """Generative model."""

    @property
    def config(self) -> ModelConfig: ...
    @property
    def generation(self) -> GenerationConfig:
        """Default generation settings of the model."""

    def begin(self, input_ids: Ids, attention_mask: Mask | None, *, use_cache: bool) -> Decoding:
        """Begin decoding for each row of ``input_ids`` (rows, length); the mask is True at tokens, False at padding."""
