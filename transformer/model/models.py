"""The Transformer family: an encoder, a decoder, and what is made of the two. "Attention Is All You Need", Figure 1."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from transformer.decode.generative import GenerativeModel
from transformer.decode.state import DecodingState, inference
from transformer.model.attention import Visibility, causal_mask, padding_mask, window_mask
from transformer.model.cache import DecoderCache
from transformer.model.config import TransformerConfig
from transformer.model.layers import (
    ACTIVATIONS,
    ActivationFunction,
    OutputProjection,
    TokenEmbedding,
    TransformerLayer,
    initialize,
    normalization,
)
from transformer.model.positions import POSITIONS
from transformer.pretrained import PretrainedModel

Ids = np.ndarray[Any, Any]


class Stack(PretrainedModel, whole=False):
    """Embeddings of tokens and positions, then layers one after the other: what encoder and decoder have in common.

    Args:
        config: of the model.
        layers: how many.
        causal: whether a position sees only earlier ones.
        cross_attention: whether the layers attend to a memory.
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
        super().__init__(config)
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
        """Token ids (B, T) at the positions (T,) or (B, T) to vectors (B, T, D)."""
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
        """Embeddings (B, T, D) through all layers: (B, T, D). In training, each is left out with ``layer_drop``.

        Source of the layer drop: Fan, Grave and Joulin, 2020: "Reducing Transformer depth on demand".
        """
        rotation = self.positions.rotation(positions)
        for number, layer in enumerate(self.layers):
            if self.training and self.config.layer_drop and mg.random.uniform(()).item() < self.config.layer_drop:
                continue
            x = layer(x, visible, rotation, memory, memory_visible, cache.layers[number] if cache else None)
        return x if self.norm is None else self.norm(x)

    def check_room(self, length: int) -> None:
        """An error where there are more positions than the model has."""
        limit = self.config.position_limit
        if limit is not None and length > limit:
            raise ValueError(f"{type(self).__name__}: {length} positions are more than the model's max_length={limit}")


class Encoder(Stack):
    """A stack of layers in which every position sees every other.

    Example:
        >>> import numpy as np
        >>> from transformer import Encoder, TransformerConfig
        >>> Encoder(TransformerConfig(vocab_size=100))(np.array([[5, 6, 7, 2]])).shape
        (1, 4, 128)
    """

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
        self.check_room(length)
        mask = None if real is None else padding_mask(real)
        if self.config.window is not None:  # also where it hides nothing: an exported model has any length
            near = window_mask(length, self.config.window)
            mask = near if mask is None else mask & near
        positions = positions_of(real, 0, length)
        x = self.embed(ids, positions, token_type_ids)
        return self.run(x, Visibility(mask, bias=self.positions.bias(length, length)), positions)


class Decoder(Stack):
    """A stack of layers in which every position sees earlier ones, and the memory that an encoder has made.

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
        if memory is not None and self.layers[0].cross_attention is None:
            raise ValueError("memory: this decoder has no attention to one, expected None")
        ids = check_ids("input_ids", input_ids)
        start = cache.length if cache else 0
        length = start + ids.shape[1]
        self.check_room(length)
        real = real_tokens(ids, attention_mask, None, length)
        positions = positions_of(real, start, length)
        memory_real = None if memory_mask is None else mg.asarray(memory_mask) != 0
        return self.run(
            self.embed(ids, positions),
            self._visible(ids.shape[1], length, real),
            positions,
            memory,
            Visibility(None if memory_real is None else padding_mask(memory_real)),
            cache,
        )

    def _visible(self, queries: int, keys: int, real: Tensor | None) -> Visibility:
        window = self.config.window
        mask = None if real is None else padding_mask(real)
        square = queries == keys  # causality needs no mask then
        if window is not None or not (square or queries == 1):
            earlier = causal_mask(queries, keys, window)
            mask = earlier if mask is None else mask & earlier
        return Visibility(mask, square, self.positions.bias(queries, keys))


class Transformer(GenerativeModel):
    """The encoder-decoder model: for translation, summarization, and any text from another.

    Example:
        >>> import numpy as np
        >>> from transformer import Transformer, TransformerConfig
        >>> model = Transformer(TransformerConfig(vocab_size=100))
        >>> model(np.array([[5, 6, 7, 2]]), np.array([[1, 8, 9]])).shape
        (1, 3, 100)
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, tokens=self.encoder.tokens if config.tie in ("all", "input") else None)
        self.output = OutputProjection(config, self.decoder.tokens)

    def encode(self, input_ids: Any, attention_mask: Any = None) -> Tensor:
        """Source tokens (B, S) to the memory (B, S, D). Padding is hidden."""
        memory: Tensor = self.encoder(input_ids, attention_mask)
        return memory

    def forward(self, input_ids: Any, decoder_input_ids: Any, attention_mask: Any = None) -> Tensor:
        """Logits (B, T, V) for the token after each target token (B, T), given the source (B, S).

        Targets may be padded at their end: no real position sees a later one.

        Args:
            input_ids: the source, padded on either side.
            decoder_input_ids: the target, beginning with the start token.
            attention_mask: (B, S), true or 1 where the source is not padding; by default, where not ``padding_id``.
        """
        source, target = check_ids("input_ids", input_ids), check_ids("decoder_input_ids", decoder_input_ids)
        if len(source) != len(target):
            raise ValueError(
                f"decoder_input_ids: expected as many rows as input_ids has, {len(source)}, got {len(target)}"
            )
        real = real_tokens(source, attention_mask, self.config.padding_id)
        return self.output(self.decoder(target, self.encoder(source, real), memory_mask=real))

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """Make ready to write the targets of some sources (B, S): see :class:`DecodingState`."""
        if self.config.start_id is None:
            raise ValueError("decoder_start_id: this model does not say what a target begins with; set it or bos_id")
        source = check_ids("input_ids", input_ids)
        real = real_tokens(source, attention_mask, self.config.padding_id)
        check_not_empty("input_ids", real)
        prompt = np.full((len(source), 1), self.config.start_id)
        with inference(self):
            memory = self.encode(source, real)
        return DecodingState(self, prompt, None, memory, real, use_cache)


class CausalLM(GenerativeModel):
    """A decoder alone, that predicts the next token: Radford et al., 2018 (GPT).

    Example:
        >>> import numpy as np
        >>> from transformer import CausalLM, TransformerConfig
        >>> model = CausalLM(TransformerConfig.preset("nano", vocab_size=65))
        >>> model(np.array([[5, 6, 7]])).shape
        (1, 3, 65)
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(dataclasses.replace(config, encoder_layers=0))
        self.decoder = Decoder(self.config)
        self.output = OutputProjection(self.config, self.decoder.tokens)

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Tensor:
        """Logits (B, T, V) for the token after each token (B, T).

        Args:
            input_ids: padded on either side.
            attention_mask: (B, T), true or 1 where a token is not padding; by default, where not ``padding_id``.
        """
        ids = check_ids("input_ids", input_ids)
        real = real_tokens(ids, attention_mask, self.config.padding_id)
        return self.output(self.decoder(ids, attention_mask=real))

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """Make ready to continue some prompts (B, T): see :class:`DecodingState`."""
        ids = check_ids("input_ids", input_ids)
        if not ids.shape[1]:
            raise ValueError("input_ids: expected prompts of at least one token, got none")
        real = real_tokens(ids, attention_mask, self.config.padding_id)
        if real is None or real.data.all():
            return DecodingState(self, ids.data, use_cache=use_cache)
        check_not_empty("input_ids", real)
        # New tokens are added at the end, so padding goes to the beginning.
        order = np.argsort(real.data, axis=1, kind="stable")
        prompt, real_first = (np.take_along_axis(array, order, 1) for array in (ids.data, real.data))
        return DecodingState(self, prompt, real_first, use_cache=use_cache)


class MaskedLM(PretrainedModel):
    """An encoder that fills in masked tokens: Devlin et al., 2019 (BERT).

    Example:
        >>> import numpy as np
        >>> from transformer import MaskedLM, TransformerConfig
        >>> model = MaskedLM(TransformerConfig(vocab_size=100, mask_id=3))
        >>> model(np.array([[5, 3, 7]])).shape
        (1, 3, 100)
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(dataclasses.replace(config, decoder_layers=0))
        self.encoder = Encoder(self.config)
        self.transform = nn.Linear(config.d_model, config.d_model, config.bias)
        self.activation = ActivationFunction(ACTIVATIONS[config.activation][0])
        self.norm = normalization(config)
        self.output = OutputProjection(self.config, self.encoder.tokens)
        initialize(self.transform, self.config)

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Tensor:
        """Logits (B, T, V) for the token that belongs at each place (B, T): see :meth:`Encoder.forward`."""
        x = self.encoder(input_ids, attention_mask, token_type_ids)
        return self.output(self.norm(self.activation(self.transform(x))))


def check_ids(name: str, ids: Any) -> Tensor:
    """Token ids as a tensor, or an error that names the argument."""
    tensor = mg.asarray(ids)
    if tensor.ndim != 2 or tensor.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected integer token ids of shape (batch, length), got {tensor.dtype} {tensor.shape}"
        )
    return tensor


def real_tokens(ids: Tensor, attention_mask: Any, pad_id: int | None, length: int | None = None) -> Tensor | None:
    """(B, T), True where a token is not padding; None where all are.

    Args:
        ids: (B, T).
        attention_mask: says so, where it is given.
        pad_id: says so otherwise.
        length: of the mask, where earlier tokens count too.
    """
    if attention_mask is not None:
        mask = mg.asarray(attention_mask)
        expected = (ids.shape[0], ids.shape[1] if length is None else length)
        if mask.shape != expected or mask.dtype.kind not in "biu":
            raise ValueError(
                f"attention_mask: expected booleans, or 0 and 1, of shape {expected}, got {mask.dtype} {mask.shape}"
            )
        return mask if mask.dtype == mg.bool else mask != 0
    if pad_id is None:
        return None
    real = ids != pad_id
    return None if real.data.all() else real


def check_not_empty(name: str, real: Tensor | None) -> None:
    """An error where a row has no token but padding: there is nothing to begin with."""
    if real is not None and not (rows := real.data.any(axis=1)).all():
        raise ValueError(f"{name}: expected tokens in each row, got nothing but padding in row {np.argmin(rows)}")


def positions_of(real: Tensor | None, start: int, stop: int) -> Tensor:
    """Where the tokens from ``start`` to ``stop`` stand, counted from each row's first real one: (T,) or (B, T)."""
    if real is None:
        return mg.arange(start, stop)
    positions = mg.clip(mg.cumulative_sum(real.astype(mg.int64), axis=1) - 1, 0)
    return positions[:, start:]
