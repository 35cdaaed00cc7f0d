"""Encoder and decoder: stacks of layers on embeddings. "Attention Is All You Need", section 3.1, Figure 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from transformer.model.attention import Visibility, causal_mask, padding_mask, window_mask
from transformer.model.cache import DecoderCache
from transformer.model.config import TransformerConfig
from transformer.model.inputs import check_ids, positions_of, real_tokens
from transformer.model.layers import TokenEmbedding, TransformerLayer, initialize, normalization
from transformer.model.positions import POSITIONS

# For layers without a window (False) and with one: what self-attention sees, and the rotation of queries and keys.
Views = dict[bool, tuple[Visibility, Tensor | None]]


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
        layer_config = config.of_decoder if cross_attention else config
        self.tokens = TokenEmbedding(config) if tokens is None else tokens
        width = config.embedding_width
        self.positions = POSITIONS["none" if config.relative_by_layer else config.positions](layer_config, causal)
        self.local_positions = None
        if config.rotary_local_base is not None:
            near = dataclasses.replace(config, rotary_base=config.rotary_local_base, rotary_scaling=None)
            self.local_positions = POSITIONS[config.positions](near, causal)
        self.types = nn.Embedding(config.token_types, width) if config.token_types else None
        self.embedding_norm = normalization(config, width) if config.embedding_norm else None
        self.dropout = nn.Dropout(config.dropout if config.embedding_dropout is None else config.embedding_dropout)
        self.projection = None if config.d_embedding is None else nn.Linear(width, config.d_model)
        groups = config.layer_groups or layers
        own = [TransformerLayer(layer_config, cross_attention, number, causal) for number in range(groups)]
        self.layers = nn.ModuleList(own[number * groups // layers] for number in range(layers))
        self.local = [config.window is not None and number not in config.global_layers for number in range(layers)]
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
        x = self.dropout(x if self.embedding_norm is None else self.embedding_norm(x))
        return x if self.projection is None else self.projection(x)

    def run(
        self,
        x: Tensor,
        views: Views,
        memory: Tensor | None = None,
        memory_visible: Visibility | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Run embeddings (B, T, D) through all layers: (B, T, D). In training, each is skipped with ``layer_drop``.

        Source of the layer drop: Fan, Grave and Joulin, 2020: "Reducing Transformer depth on demand".
        """
        for number, (layer, local) in enumerate(zip(self.layers, self.local, strict=False)):
            if self.training and self.config.layer_drop and mg.random.uniform(()).item() < self.config.layer_drop:
                continue
            x = layer(x, *views[local], memory, memory_visible, cache.layers[number] if cache else None)
        return x if self.norm is None else self.norm(x)

    def views(self, positions: Tensor, visible: Callable[[int | None], Visibility]) -> Views:
        """Views of the layers' self-attention, of which there are two at most: those without a window, and with one.

        Args:
            positions: (T,) or (B, T).
            visible: mask and bias, given the window.
        """
        found = {}
        for local in sorted(set(self.local)):
            scheme = self.positions if self.local_positions is None or not local else self.local_positions
            found[local] = visible(self.config.window if local else None), scheme.rotation(positions)
        return found

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
        bias = self.positions.bias(length, length)

        def visible(window: int | None) -> Visibility:
            mask = None if real is None else padding_mask(real)
            if window is not None:  # also where it hides nothing: an exported model has any length
                near = window_mask(length, window)
                mask = near if mask is None else mask & near
            return Visibility(mask, bias=bias)

        positions = positions_of(real, 0, length)
        return self.run(self.embed(ids, positions, token_type_ids), self.views(positions, visible))


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
    ) -> tuple[Tensor, Views, Tensor | None, Visibility]:
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
        visible = partial(self._visible, ids.shape[1], length, real, self.positions.bias(ids.shape[1], length))
        return (
            self.embed(ids, positions),
            self.views(positions, visible),
            memory,
            Visibility(None if memory_real is None else padding_mask(memory_real)),
        )

    def _visible(
        self, queries: int, keys: int, real: Tensor | None, bias: Tensor | None, window: int | None
    ) -> Visibility:
        mask = None if real is None else padding_mask(real)
        square = queries == keys  # causality needs no mask then
        if window is not None or not (square or queries == 1):
            earlier = causal_mask(queries, keys, window)
            mask = earlier if mask is None else mask & earlier
        return Visibility(mask, square, bias)
