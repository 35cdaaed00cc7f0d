"""Protocols of a model that decoding works with."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from transformer.decode.config import GenerationConfig

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


class Decoding(Protocol):
    """A batch of texts under way: a model's memory of what they say so far."""

    @property
    def prompt(self) -> Ids:
        """(rows, P) what is there before the first new token: a causal model's own, padded on either side; an
        encoder-decoder's start token."""

    @property
    def prompt_mask(self) -> Mask:
        """(rows, P) True where ``prompt`` is a token, False where it is padding."""

    def step(self, tokens: Ids) -> npt.NDArray[Any]:
        """Read (rows, new) tokens, first of all the prompt; return the logits (rows, V) of the one after.

        It computes no gradients and is in evaluation mode.
        """

    def reorder(self, rows: Ids) -> None:
        """Go on with these rows, in this order; one may be named several times, or not at all."""


class ModelConfig(Protocol):
    """Fields of a model's configuration that decoding reads."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def pad_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int | None: ...
    @property
    def max_length(self) -> int | None:
        """Positions; None without a limit. A ``position_limit`` of None beside it says that they are relative."""


class Generative(Protocol):
    """A model that can write."""

    @property
    def config(self) -> ModelConfig: ...
    @property
    def generation(self) -> GenerationConfig:
        """The model's own decoding settings."""

    def begin(self, input_ids: Ids, attention_mask: Mask | None, *, use_cache: bool) -> Decoding:
        """Begin a text for each row of ``input_ids`` (rows, length); the mask is True at tokens, False at padding."""
