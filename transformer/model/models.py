"""Transformer models: encoder-decoder, decoder alone and encoder alone."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from minigrad import Tensor, nn
from transformer.model.config import TransformerConfig
from transformer.model.inputs import check_ids, real_tokens
from transformer.model.layers import ACTIVATIONS, ActivationFunction, OutputProjection, initialize, normalization
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
        self.transform = nn.Linear(config.d_model, config.embedding_width, config.bias)
        self.activation = ActivationFunction(ACTIVATIONS[config.head_activation or config.activation][0])
        self.norm = normalization(config, config.embedding_width)
        self.output = OutputProjection(self.config, self.encoder.tokens)
        initialize(self.transform, self.config)

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Tensor:
        """Logits (B, T, V) for the token that belongs at each place (B, T): see :meth:`Encoder.forward`."""
        x = self.encoder(input_ids, attention_mask, token_type_ids)
        return self.output(self.norm(self.activation(self.transform(x))))
