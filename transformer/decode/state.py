"""Decoding state: the tokens of a batch so far, and their cached keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import Tensor, nn, no_grad
from transformer.decode.program import StepProgram
from transformer.model.cache import DecoderCache
from transformer.model.inputs import check_ids, check_not_empty, real_tokens
from transformer.model.models import CausalLM, Transformer

Ids = np.ndarray[Any, Any]
PART = 256  # positions of a prompt that are read together
MOST_ROOM = 1 << 12  # new positions for which the cache has room from the start; for more it grows


class DecodingState:
    """Decoding state of a batch, a token at a time, in evaluation mode and without a graph.

    Args:
        model: a decoder and what turns its vectors into logits.
        prompt: token ids (B, P) to begin with.
        real: (B, P), True where the prompt is not padding, which is on its left; None where there is none.
        memory: (B, S, D), the encoder's output.
        memory_real: (B, S), True where that is not padding.
        use_cache: cache keys and values: a step costs O(length) then, and O(length²) otherwise.
        cache_format: of cached keys and values; "bfloat16" takes half the memory of float32, others are as computed.
    """

    def __init__(
        self,
        model: Transformer | CausalLM,
        prompt: Ids,
        real: Ids | None = None,
        memory: Tensor | None = None,
        memory_real: Tensor | None = None,
        use_cache: bool = True,
        cache_format: str | None = None,
    ) -> None:
        self.prompt = prompt
        self.prompt_mask = np.ones(prompt.shape, np.bool_) if real is None else real
        self._model = model
        self._ids = prompt[:, :0]
        self._real = real
        self._memory = memory
        self._memory_real = memory_real
        self._cache = DecoderCache(model.config.decoder_layers, cache_format) if use_cache else None
        self.program = None if self._cache is None else StepProgram(model, self._cache)

    def reserve(self, new_tokens: int, copies: int) -> None:
        """Make room in the cache, before the prompt is read, for so many new tokens of so many copies of each text."""
        if self._cache is not None:
            rows, length = self.prompt.shape
            new = min(new_tokens, MOST_ROOM)
            self._cache.own.positions = length + new
            self._cache.own.slots = rows * (length + copies * new)

    def step(self, tokens: Ids) -> Ids:
        """Next-token logits (B, V) after the newest tokens (B, n): at first the prompt, then the chosen tokens."""
        started = self._ids.shape[1] > 0
        self._ids = np.concatenate([self._ids, tokens], axis=1)
        if started and self._real is not None:
            self._real = np.concatenate([self._real, np.ones(tokens.shape, np.bool_)], axis=1)
        with inference(self._model):
            if self._cache is None:
                return self._logits(self._ids, self._memory, self._real)
            if not started:
                return self._read_prompt(tokens)
            if tokens.shape[1] > 1 or self.program is None:
                return self._logits(tokens, None, self._real)
            arguments = self._model.decoder.prepare(tokens, None, self._real, self._memory_real, self._cache)
            return self.program.step(arguments)

    def _read_prompt(self, tokens: Ids) -> Ids:
        """Logits after a prompt, which is read a part at a time: its attention needs memory for a part alone."""
        logits = tokens
        for start in range(0, tokens.shape[1], PART):
            stop = min(start + PART, tokens.shape[1])
            real = None if self._real is None else self._real[:, :stop]
            logits = self._logits(tokens[:, start:stop], None if start else self._memory, real)
        return logits

    def _logits(self, tokens: Ids, memory: Tensor | None, real: Ids | None) -> Ids:
        x = self._model.decoder(tokens, memory, attention_mask=real, memory_mask=self._memory_real, cache=self._cache)
        logits: Ids = self._model.output(x[:, -1:])[:, 0].data
        return logits

    def reorder(self, rows: Ids) -> None:
        """Reorder the batch: keep these rows, in this order, with repetitions."""
        self._ids = self._ids[rows]
        self._real = None if self._real is None else self._real[rows]
        self._memory_real = None if self._memory_real is None else self._memory_real[rows]
        if self._cache is None or not self._cache.length:
            self._memory = None if self._memory is None else self._memory[rows]
        if self._cache is not None:
            self._cache.reorder(rows)


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Inference context: evaluation mode without recording."""
    with no_grad():
        if not model.training:  # switching the mode visits all modules, at each token
            yield
        else:
            with model.evaluating():
                yield


def target_state(model: Transformer, input_ids: Any, attention_mask: Any = None, **cache: Any) -> DecodingState:
    """Initial state of the targets of some sources (B, S); ``cache`` as for :class:`DecodingState`.

    Raises:
        ValueError: the model has no start token, or a row is nothing but padding.
    """
    if model.config.start_id is None:
        raise ValueError("decoder_start_id: this model has no start token of targets; set it or bos_id")
    source = check_ids("input_ids", input_ids)
    real = real_tokens(source, attention_mask, model.config.padding_id)
    check_not_empty("input_ids", real)
    prompt = np.full((len(source), 1), model.config.start_id)
    with inference(model):
        memory = model.encode(source, real)
    hidden = None if real is None or real.data.all() else real  # asked at each step: a mask that hides nothing is none
    return DecodingState(model, prompt, None, memory, hidden, **cache)


def prompt_state(model: CausalLM, input_ids: Any, attention_mask: Any = None, **cache: Any) -> DecodingState:
    """Initial state after some prompts (B, T), padded on either side; ``cache`` as for :class:`DecodingState`.

    Raises:
        ValueError: there are no tokens, or a row is nothing but padding.
    """
    ids = check_ids("input_ids", input_ids)
    if not ids.shape[1]:
        raise ValueError("input_ids: expected prompts of at least one token, got none")
    real = real_tokens(ids, attention_mask, model.config.padding_id)
    if real is None or real.data.all():
        return DecodingState(model, ids.data, **cache)
    check_not_empty("input_ids", real)
    # New tokens are added at the end, so padding goes to the beginning.
    order = np.argsort(real.data, axis=1, kind="stable")
    prompt, real_first = (np.take_along_axis(array, order, 1) for array in (ids.data, real.data))
    return DecodingState(model, prompt, real_first, **cache)
