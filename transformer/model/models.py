"""Transformer models: encoder-decoder, decoder alone and encoder alone."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from minigrad import Tensor, nn
from transformer.model.config import TransformerConfig
from transformer.model.inputs import check_ids, real_tokens
from transformer.model.layers import ACTIVATIONS, ActivationFunction, OutputProjection, initialize, normalization
from transformer.model.pooling import pool
from transformer.model.stacks import Decoder, Encoder


class Transformer(nn.Module):
    """Encoder-decoder Transformer, for translation, summarization and other text-to-text tasks."""

    encoder_class: ClassVar[type[Encoder]] = Encoder
    decoder_class: ClassVar[type[Decoder]] = Decoder

    def __init__(self, config: TransformerConfig) -> None:
        self.config = config
        self.encoder = self.encoder_class(config)
        self.decoder = self.decoder_class(
            config, tokens=self.encoder.tokens if config.tie in ("all", "input") else None
        )
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


class CausalLM(nn.Module):
    """Causal language model, a decoder alone: Radford et al., 2018 (GPT)."""

    decoder_class: ClassVar[type[Decoder]] = Decoder

    def __init__(self, config: TransformerConfig) -> None:
        self.config = dataclasses.replace(config, encoder_layers=0)
        self.decoder = self.decoder_class(self.config)
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


class MaskedLM(nn.Module):
    """Masked language model, an encoder: Devlin et al., 2019 (BERT)."""

    encoder_class: ClassVar[type[Encoder]] = Encoder

    def __init__(self, config: TransformerConfig) -> None:
        self.config = dataclasses.replace(config, decoder_layers=0)
        self.encoder = self.encoder_class(self.config)
        self.transform = nn.Linear(config.d_model, config.embedding_width, _head_bias(config))
        self.activation = ActivationFunction(ACTIVATIONS[config.head_activation or config.activation][0])
        self.norm = normalization(config, config.embedding_width)
        self.output = OutputProjection(self.config, self.encoder.tokens)
        initialize(self.transform, self.config)

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Tensor:
        """Logits (B, T, V) for the token that belongs at each place (B, T): see :meth:`Encoder.forward`."""
        x = self.encoder(input_ids, attention_mask, token_type_ids)
        return self.output(self.norm(self.activation(self.transform(x))))


class TokenClassifier(nn.Module):
    """Token classifier: an encoder, and a score of each label for each token. Devlin et al., 2019, section 4.2 and 5.3.

    Its head is the output projection, after a transform or a norm if ``config.head`` has them.
    """

    encoder_class: ClassVar[type[Encoder]] = Encoder
    decoder_class: ClassVar[type[Decoder]] = Decoder

    def __init__(self, config: TransformerConfig) -> None:
        if not config.labels:
            raise ValueError("labels: expected at least one, got none")
        self.config = dataclasses.replace(config, decoder_layers=0) if config.encoder_layers else config
        self.encoder = self.encoder_class(self.config) if config.encoder_layers else None
        self.decoder = None if config.encoder_layers else self.decoder_class(self.config)
        width, has_transform = config.d_model, config.head != "output"
        self.transform = nn.Linear(width, width, _head_bias(config)) if has_transform else None
        self.activation = ActivationFunction(ACTIVATIONS[config.head_activation or config.activation][0])
        self.norm = normalization(config) if config.head == "transform_norm" else None
        self.dropout = nn.Dropout(config.dropout if config.head_dropout is None else config.head_dropout)
        self.output = nn.Linear(width, len(config.labels), config.output_bias)
        for layer in (self.transform, self.output):
            if layer is not None:
                initialize(layer, self.config)

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Tensor:
        """Scores (B, T, L) of the labels of each token (B, T): see :meth:`Encoder.forward`."""
        return self.score(self.read(input_ids, attention_mask, token_type_ids))

    def read(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Tensor:
        """Vectors (B, T, D) of the encoder, or of a decoder where there is none."""
        x: Tensor
        if self.decoder is None:
            assert self.encoder is not None
            x = self.encoder(input_ids, attention_mask, token_type_ids)
        elif token_type_ids is not None:
            raise ValueError("token_type_ids: this model has no token types, expected None")
        else:
            ids = check_ids("input_ids", input_ids)
            x = self.decoder(ids, attention_mask=real_tokens(ids, attention_mask, self.config.padding_id))
        return x

    def score(self, x: Tensor) -> Tensor:
        """Scores (…, L) of the labels, from vectors (…, D)."""
        if self.transform is not None:
            x = self.activation(self.transform(x))
        return self.output(self.dropout(x if self.norm is None else self.norm(x)))


class SequenceClassifier(TokenClassifier):
    """Sequence classifier: an encoder, and a score of each label for a whole text. Devlin et al., 2019, section 4.1.

    The head reads one vector, which ``config.pooling`` makes of the tokens'.
    """

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Tensor:
        """Scores (B, L) of the labels of each text (B, T): see :meth:`Encoder.forward`."""
        ids = check_ids("input_ids", input_ids)
        real = real_tokens(ids, attention_mask, self.config.padding_id)
        return self.score(pool(self.read(ids, real, token_type_ids), real, self.config.pooling))


def _head_bias(config: TransformerConfig) -> bool:
    return config.bias if config.head_bias is None else config.head_bias
