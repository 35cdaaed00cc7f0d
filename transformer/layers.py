"""The blocks of encoder and decoder. "Attention Is All You Need", sections 3.1 and 3.3, Figure 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.attention import KeyValueCache, MultiHeadAttention
from transformer.config import TransformerConfig


class FeedForward(nn.Module):
    """FFN(x) = max(0, x W₁ + b₁) W₂ + b₂, at each position alike. Section 3.3, equation 2."""

    def __init__(self, d_model: int, d_ff: int) -> None:
        self.expand = nn.Linear(d_model, d_ff)
        self.contract = nn.Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.contract(F.relu(self.expand(x)))


class Residual(nn.Module):
    """A sublayer, wrapped: LayerNorm(x + Dropout(Sublayer(x))). Section 3.1 and, for the dropout, 5.4.

    With ``norm_first`` it is x + Dropout(Sublayer(LayerNorm(x))), which trains without warm-up (Xiong et al., 2020).
    """

    def __init__(self, config: TransformerConfig) -> None:
        self.norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.norm_first = config.norm_first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(sublayer(self.norm(x)))
        norm, dropout = self.norm, self.dropout
        _, y = F.add_dropout_layer_norm(
            x, sublayer(x), norm.weight, norm.bias, norm.eps, dropout.p, dropout.training, dropout.generator
        )
        return y


class EncoderLayer(nn.Module):
    """Self-attention, then the feed-forward network, each in a residual."""

    def __init__(self, config: TransformerConfig) -> None:
        self.self_attention = MultiHeadAttention(config.d_model, config.num_heads)
        self.self_attention_residual = Residual(config)
        self.feed_forward = FeedForward(config.d_model, config.d_ff)
        self.feed_forward_residual = Residual(config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, S, D) to (B, S, D); ``mask`` hides the padding."""
        x = self.self_attention_residual(x, lambda y: self.self_attention(y, y, mask))
        return self.feed_forward_residual(x, self.feed_forward)


class LayerCache(NamedTuple):
    """What a decoder layer remembers between steps."""

    self_attention: KeyValueCache
    cross_attention: KeyValueCache


class DecoderLayer(nn.Module):
    """Masked self-attention, attention to the encoder's output, then the feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        self.self_attention = MultiHeadAttention(config.d_model, config.num_heads)
        self.self_attention_residual = Residual(config)
        self.cross_attention = MultiHeadAttention(config.d_model, config.num_heads)
        self.cross_attention_residual = Residual(config)
        self.feed_forward = FeedForward(config.d_model, config.d_ff)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None,
        mask: Tensor | None,
        memory_mask: Tensor | None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """(B, T, D) attends to itself under ``mask`` and to the memory (B, S, D) under ``memory_mask``."""
        own, cross = cache or (None, None)
        x = self.self_attention_residual(x, lambda y: self.self_attention(y, y, mask, own))
        x = self.cross_attention_residual(x, lambda y: self.cross_attention(y, memory, memory_mask, cross))
        return self.feed_forward_residual(x, self.feed_forward)


class TokenEmbedding(nn.Module):
    """One matrix for source, target and output: scaled by √d_model on the way in, transposed on the way out.

    Section 3.4; sharing it between the three is from Press and Wolf, 2017.
    """

    def __init__(self, config: TransformerConfig) -> None:
        self.scale = float(config.d_model**0.5)
        self.weight = nn.Parameter(mg.empty((config.vocab_size, config.d_model)))
        nn.init.normal_(self.weight, std=config.d_model**-0.5)

    def forward(self, ids: object) -> Tensor:
        """Token ids (B, T) to vectors (B, T, D)."""
        return F.embedding(ids, self.weight) * self.scale

    def logits(self, x: Tensor) -> Tensor:
        """Vectors (B, T, D) to a score for each token of the vocabulary (B, T, V)."""
        return F.linear(x, self.weight)
