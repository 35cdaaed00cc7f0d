"""What a decoder needs to go on writing: the tokens so far, or what it remembers of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import Tensor, nn
from transformer.cache import DecoderCache

if TYPE_CHECKING:
    from transformer.models import Decoder

Ids = np.ndarray[Any, Any]


class Continuation:
    """A batch of sequences that a decoder writes a token at a time.

    Args:
        decoder: that reads tokens.
        output: that gives logits.
        prompt: token ids (B, P) to begin with.
        real: (B, P), True where the prompt is not padding, which is on its left; None where there is none.
        memory: (B, S, D), what to attend to besides.
        memory_real: (B, S), True where that is not padding.
        use_cache: whether to keep keys and values: a step costs O(length) then, and O(length²) otherwise.
    """

    def __init__(
        self,
        decoder: Decoder,
        output: nn.Module,
        prompt: Ids,
        real: Ids | None,
        memory: Tensor | None,
        memory_real: Tensor | None,
        use_cache: bool,
    ) -> None:
        self.prompt = prompt
        self._decoder = decoder
        self._output = output
        self._ids = prompt[:, :0]
        self._real = real
        self._memory = memory
        self._memory_real = memory_real
        self._cache = DecoderCache(decoder.config.decoder_layers) if use_cache else None

    def step(self, tokens: Ids) -> Ids:
        """Logits (B, V) for the token after the newest ones (B, n): first the prompt, then what was chosen."""
        started = self._ids.shape[1] > 0
        self._ids = np.concatenate([self._ids, tokens], axis=1)
        if started and self._real is not None:
            self._real = np.concatenate([self._real, np.ones(tokens.shape, np.bool_)], axis=1)
        cached = self._cache is not None
        x = self._decoder(
            tokens if cached else self._ids,
            None if cached and started else self._memory,
            attention_mask=self._real,
            memory_mask=self._memory_real,
            cache=self._cache,
        )
        logits: Ids = self._output(x[:, -1:])[:, 0].data
        return logits

    def keep(self, rows: Ids) -> None:
        """Go on with these rows of the batch, in this order; a row may be there more than once."""
        self._ids = self._ids[rows]
        self._real = None if self._real is None else self._real[rows]
        self._memory_real = None if self._memory_real is None else self._memory_real[rows]
        if self._cache is None or not self._cache.length:
            self._memory = None if self._memory is None else self._memory[rows]
        if self._cache is not None:
            self._cache.keep(rows)
