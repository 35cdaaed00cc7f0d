"""The Transformer of "Attention Is All You Need": an encoder, and a decoder that attends to it. Figure 1."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from transformer.attention import KeyValueCache, causal_mask, padding_mask
from transformer.config import TransformerConfig
from transformer.decode import Hypothesis, generate
from transformer.layers import DecoderLayer, EncoderLayer, LayerCache, TokenEmbedding
from transformer.positions import SinusoidalPositions
from transformer.pretrained import PretrainedModel

Ids = np.ndarray[Any, Any]


class Encoder(nn.Module):
    """A stack of encoder layers: every position sees every other."""

    def __init__(self, config: TransformerConfig) -> None:
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(config.d_model) if config.norm_first else None  # post-norm layers end with one

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, D) to (B, S, D)."""
        for layer in self.layers:
            x = layer(x, mask)
        return x if self.norm is None else self.norm(x)


class Decoder(nn.Module):
    """A stack of decoder layers: every position sees earlier ones, and the encoder's output."""

    def __init__(self, config: TransformerConfig) -> None:
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model) if config.norm_first else None  # post-norm layers end with one

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """(B, T, D) and the memory (B, S, D) to (B, T, D)."""
        for position, layer in enumerate(self.layers):
            x = layer(x, memory, mask, memory_mask, cache.layers[position] if cache else None)
        return x if self.norm is None else self.norm(x)


class DecoderCache:
    """Keys and values of all positions decoded so far, so that each step computes only the newest."""

    def __init__(self, layers: int) -> None:
        self.layers = [LayerCache(KeyValueCache(), KeyValueCache()) for _ in range(layers)]
        self.length = 0  # positions decoded so far

    def reorder(self, rows: np.ndarray[Any, Any]) -> None:
        """Keep these rows of the batch, in this order."""
        for layer in self.layers:
            for attention in layer:
                attention.reorder(rows)


class Transformer(PretrainedModel, model_type="transformer"):
    """The encoder-decoder model.

    Example:
        >>> import numpy as np
        >>> from transformer import Transformer, TransformerConfig
        >>> model = Transformer(TransformerConfig(vocab_size=100))
        >>> model(np.array([[5, 6, 7, 2]]), np.array([[1, 8, 9]])).shape
        (1, 3, 100)
    """

    def __init__(self, config: TransformerConfig) -> None:
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.positions = SinusoidalPositions(config.d_model, config.max_length)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0.0)

    def encode(self, source: Any) -> Tensor:
        """Source tokens (B, S) to the memory (B, S, D). Padding is hidden."""
        source = self.check_tokens("source", source)
        x = self.dropout(self.positions(self.embedding(source)))
        return self.encoder(x, padding_mask(source, self.config.pad_id))

    def decode(self, target: Any, memory: Tensor, source: Any, cache: DecoderCache | None = None) -> Tensor:
        """Logits (B, T, V) for the token after each target token (B, T).

        Args:
            target: the tokens so far, beginning with ``bos_id``; with a cache, only those not yet decoded.
            memory: what ``encode(source)`` returned.
            source: the source tokens, whose padding is hidden from cross-attention.
            cache: keys and values of earlier calls, extended here.
        """
        target, source = self.check_tokens("target", target), self.check_tokens("source", source)
        if not len(target) == len(source) == len(memory) or source.shape[1] != memory.shape[1]:
            raise ValueError(
                f"target: expected as many rows as source and memory, and a memory of the source's length; got target "
                f"{target.shape}, source {source.shape} and memory {memory.shape}"
            )
        start = cache.length if cache else 0
        mask = causal_mask(target.shape[1], start + target.shape[1])
        memory_mask = padding_mask(source, self.config.pad_id)
        x = self.dropout(self.positions(self.embedding(target), start))
        known = cache is not None and start > 0  # the memory's keys and values are in the cache already
        x = self.decoder(x, None if known else memory, mask, memory_mask, cache)
        if cache:
            cache.length += target.shape[1]
        return self.embedding.logits(x)

    def forward(self, source: Any, target: Any) -> Tensor:
        """Logits (B, T, V) for the token after each target token, given the source: (B, S) and (B, T) token ids.

        Targets may be padded at their end: no real position sees a later one.
        """
        return self.decode(target, self.encode(source), source)

    def generate(
        self,
        input_ids: Any,
        *,
        max_new_tokens: int | None = None,
        num_beams: int = 1,
        length_penalty: float = 0.6,
    ) -> list[Hypothesis]:
        """The best target for each source (B, S): see :func:`transformer.decode.generate`."""
        return generate(
            self, input_ids, max_new_tokens=max_new_tokens, num_beams=num_beams, length_penalty=length_penalty
        )

    def new_cache(self) -> DecoderCache:
        """An empty cache for :meth:`decode`."""
        return DecoderCache(self.config.decoder_layers)

    def check_tokens(self, name: str, ids: Any) -> Ids:
        """Token ids as an array, or an error that names the argument."""
        array = mg.asarray(ids).data
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{name}: expected integer token ids of shape (batch, length), got {array.dtype} {array.shape}"
            )
        return array
