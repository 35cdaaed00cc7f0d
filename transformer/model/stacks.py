"""Encoder and decoder: stacks of layers on embeddings. "Attention Is All You Need", section 3.1, Figure 1."""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from transformer.model.attention import Visibility, causal_mask, padding_mask, window_mask
from transformer.model.cache import DecoderCache
from transformer.model.config import TransformerConfig
from transformer.model.inputs import check_ids, positions_of, real_tokens
from transformer.model.layers import TokenEmbedding, TransformerLayer, initialize, normalization
from transformer.model.positions import POSITIONS


class Stack(nn.Module):
    """Stack of layers on embeddings of tokens and positions: the base class of encoder and decoder.

    Args:
        config: of the model.
        layers: the number of layers.
        causal: attend only to earlier positions.
        cross_attention: attend to a memory.
        tokens: the embedding, where it is shared.
    """

    def __init__(
        self,
        config: TransformerConfig,
        layers: int,
        *,
        causal: bool,
        cross_attention: bool = False,
        tokens: TokenEmbedding | None = None,
    ) -> None:
        if not layers:
            name = "decoder_layers" if causal else "encoder_layers"
            raise ValueError(f"{name}: expected at least 1, got 0")
        self.config = config
        self.tokens = TokenEmbedding(config) if tokens is None else tokens
        self.positions = POSITIONS[config.positions](config, causal)
        self.types = nn.Embedding(config.token_types, config.d_model) if config.token_types else None
        self.embedding_norm = normalization(config) if config.embedding_norm else None
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(TransformerLayer(config, cross_attention) for _ in range(layers))
        self.norm = normalization(config) if config.norm_first else None  # post-norm layers end with one
        if self.types is not None:
            nn.init.normal_(self.types.weight, std=config.init_std or config.d_model**-0.5)
        initialize(self, config)

    def embed(self, ids: Tensor, positions: Tensor, token_type_ids: Any = None) -> Tensor:
        """Embed token ids (B, T) at the positions (T,) or (B, T) as vectors (B, T, D)."""
        x = self.tokens(ids)
        if self.types is not None:
            x = x + self.types(mg.zeros_like(ids) if token_type_ids is None else token_type_ids)
        elif token_type_ids is not None:
            raise ValueError("token_type_ids: this model has no token types, expected None")
        x = self.positions(x, positions)
        return self.dropout(x if self.embedding_norm is None else self.embedding_norm(x))

    def run(
        self,
        x: Tensor,
        visible: Visibility,
        positions: Tensor,
        memory: Tensor | None = None,
        memory_visible: Visibility | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Run embeddings (B, T, D) through all layers: (B, T, D). In training, each is skipped with ``layer_drop``.

        Source of the layer drop: Fan, Grave and Joulin, 2020: "Reducing Transformer depth on demand".
        """
        rotation = self.positions.rotation(positions)
        for number, layer in enumerate(self.layers):
            if self.training and self.config.layer_drop and mg.random.uniform(()).item() < self.config.layer_drop:
                continue
            x = layer(x, visible, rotation, memory, memory_visible, cache.layers[number] if cache else None)
        return x if self.norm is None else self.norm(x)

    def check_length(self, length: int) -> None:
        """Check the length: an error if it exceeds the model's positions."""
        limit = self.config.position_limit
        if limit is not None and length > limit:
            raise ValueError(f"{type(self).__name__}: {length} positions are more than the model's max_length={limit}")


class Encoder(Stack):
    """Transformer encoder: every position attends to every other."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, config.encoder_layers, causal=False)

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Tensor:
        """Token ids (B, T) to vectors (B, T, D).

        Args:
            input_ids: padded on either side.
            attention_mask: (B, T), true or 1 where a token is not padding; by default, where not ``padding_id``.
            token_type_ids: (B, T), which segment a token belongs to, for models that know segments.
        """
        ids = check_ids("input_ids", input_ids)
        real = real_tokens(ids, attention_mask, self.config.padding_id)
        length = ids.shape[1]
        self.check_length(length)
        mask = None if real is None else padding_mask(real)
        if self.config.window is not None:  # also where it hides nothing: an exported model has any length
            near = window_mask(length, self.config.window)
            mask = near if mask is None else mask & near
        positions = positions_of(real, 0, length)
        x = self.embed(ids, positions, token_type_ids)
        return self.run(x, Visibility(mask, bias=self.positions.bias(length, length)), positions)


class Decoder(Stack):
    """Transformer decoder: every position attends to earlier ones, and to an encoder's memory.

    Args:
        config: of the model; where it has encoder layers, the decoder attends to their memory.
        tokens: the embedding, where it is shared with an encoder.
    """

    def __init__(self, config: TransformerConfig, tokens: TokenEmbedding | None = None) -> None:
        has_memory = config.encoder_layers > 0
        super().__init__(config, config.decoder_layers, causal=True, cross_attention=has_memory, tokens=tokens)

    def forward(
        self,
        input_ids: Any,
        memory: Tensor | None = None,
        attention_mask: Any = None,
        memory_mask: Any = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Token ids (B, T) to vectors (B, T, D).

        Args:
            input_ids: the tokens so far; with a cache, only those that it does not hold yet.
            memory: (B, S, D); not needed any more once a cache holds its keys and values.
            attention_mask: (B, T), true or 1 where a token is not padding, tokens in the cache included.
            memory_mask: (B, S), the same for the memory.
            cache: keys and values of earlier calls, extended here.
        """
        return self.run(*self.prepare(input_ids, memory, attention_mask, memory_mask, cache), cache)

    def prepare(
        self,
        input_ids: Any,
        memory: Tensor | None = None,
        attention_mask: Any = None,
        memory_mask: Any = None,
        cache: DecoderCache | None = None,
    ) -> tuple[Tensor, Visibility, Tensor, Tensor | None, Visibility]:
        """Arguments of :meth:`run`, but the cache, for those of :meth:`forward`."""
        if memory is not None and self.layers[0].cross_attention is None:
            raise ValueError("memory: this decoder has no attention to one, expected None")
        ids = check_ids("input_ids", input_ids)
        start = cache.length if cache else 0
        length = start + ids.shape[1]
        self.check_length(length)
        real = real_tokens(ids, attention_mask, None, length)
        positions = positions_of(real, start, length)
        memory_real = None if memory_mask is None else mg.asarray(memory_mask) != 0
        return (
            self.embed(ids, positions),
            self._visible(ids.shape[1], length, real),
            positions,
            memory,
            Visibility(None if memory_real is None else padding_mask(memory_real)),
        )

    def _visible(self, queries: int, keys: int, real: Tensor | None) -> Visibility:
        window = self.config.window
        mask = None if real is None else padding_mask(real)
        square = queries == keys  # causality needs no mask then
        if window is not None or not (square or queries == 1):
            earlier = causal_mask(queries, keys, window)
            mask = earlier if mask is None else mask & earlier
        return Visibility(mask, square, self.positions.bias(queries, keys))
