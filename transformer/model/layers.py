"""Transformer layer and its parts. "Attention Is All You Need", sections 3.1 and 3.3, Figure 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.model.attention import MultiHeadAttention, Visibility
from transformer.model.cache import LayerCache
from transformer.model.config import TransformerConfig


class ActivationFunction(nn.Module):
    """Activation function as a module, so that hooks see its output."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by the tanh approximation of GPT-2 and BERT's original code. Hendrycks and Gimpel, 2016, section 2."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {  # and if it is gated
    "relu": (F.relu, False),
    "gelu": (F.gelu, False),
    "gelu_tanh": (gelu_tanh, False),
    "silu": (F.silu, False),
    "swiglu": (F.silu, True),
    "geglu": (gelu_tanh, True),
}


class FeedForward(nn.Module):
    """Feed-forward network f(x W₁ + b₁) W₂ + b₂ at each position. Section 3.3, equation 2, where f is max(0, ·).

    With a gate it is (f(x Wᵍ) ∘ x W₁) W₂. Shazeer, 2020: "GLU variants improve Transformer".
    """

    def __init__(self, config: TransformerConfig) -> None:
        function, gated = ACTIVATIONS[config.activation]
        self.gate = nn.Linear(config.d_model, config.d_ff, config.bias) if gated else None
        self.expand = nn.Linear(config.d_model, config.d_ff, config.bias)
        self.activation = ActivationFunction(function)
        self.dropout = nn.Dropout(config.activation_dropout)
        self.contract = nn.Linear(config.d_ff, config.d_model, config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        inner = self.expand(x)
        inner = self.activation(inner) if self.gate is None else self.activation(self.gate(x)) * inner
        return self.contract(self.dropout(inner))


def normalization(config: TransformerConfig) -> nn.LayerNorm | nn.RMSNorm:
    """Normalization layer of a model."""
    if config.norm == "rms":
        return nn.RMSNorm(config.d_model, config.norm_eps)
    return nn.LayerNorm(config.d_model, config.norm_eps, bias=config.bias)


class Residual(nn.Module):
    """Residual connection: LayerNorm(x + Dropout(Sublayer(x))). Section 3.1 and, for the dropout, 5.4.

    With ``norm_first`` it is x + Dropout(Sublayer(LayerNorm(x))), which trains without warm-up (Xiong et al., 2020).
    """

    def __init__(self, config: TransformerConfig) -> None:
        self.norm = normalization(config)
        self.dropout = nn.Dropout(config.dropout)
        self.norm_first = config.norm_first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))


class TransformerLayer(nn.Module):
    """Transformer layer: self-attention, optional cross-attention, feed-forward network, each in a residual.

    Args:
        config: of the model.
        cross_attention: attend to a memory, as a decoder with an encoder does.
    """

    def __init__(self, config: TransformerConfig, cross_attention: bool) -> None:
        self.self_attention = _attention(config)
        self.self_attention_residual = Residual(config)
        self.cross_attention = _attention(config) if cross_attention else None
        self.cross_attention_residual = Residual(config) if cross_attention else None
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        x: Tensor,
        visible: Visibility,
        rotation: Tensor | None = None,
        memory: Tensor | None = None,
        memory_visible: Visibility | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """(B, T, D) attends to itself, and to the memory (B, S, D) or what the cache holds of it: (B, T, D)."""
        own, cross = cache or (None, None)
        x = self.self_attention_residual(x, lambda y: self.self_attention(y, y, visible, own, rotation))
        if self.cross_attention is not None and self.cross_attention_residual is not None:
            attend = self.cross_attention
            x = self.cross_attention_residual(x, lambda y: attend(y, memory, memory_visible, cross))
        return self.feed_forward_residual(x, self.feed_forward)


def _attention(config: TransformerConfig) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.d_model,
        config.num_heads,
        num_kv_heads=config.num_kv_heads,
        d_k=config.d_k,
        bias=config.bias,
        dropout=config.attention_dropout,
        scaled=config.scale_scores,
    )


class TokenEmbedding(nn.Module):
    """Token embedding, multiplied by √d_model. Section 3.4."""

    def __init__(self, config: TransformerConfig) -> None:
        self.scale = config.d_model**0.5 if config.scale_embedding else 1.0
        self.weight = nn.Parameter(mg.empty((config.vocab_size, config.d_model)))
        nn.init.normal_(self.weight, std=config.init_std or config.d_model**-0.5)

    def forward(self, ids: Any) -> Tensor:
        """Token ids (B, T) to vectors (B, T, D)."""
        x = F.embedding(ids, self.weight)
        return x if self.scale == 1.0 else x * self.scale


class OutputProjection(nn.Module):
    """Output projection: vectors (B, T, D) to logits (B, T, V). Section 3.4.

    Its matrix may be the token embedding's: Press and Wolf, 2017.
    """

    def __init__(self, config: TransformerConfig, tokens: TokenEmbedding) -> None:
        self.scale = config.d_model**-0.5 if config.scale_output else 1.0
        self.weight = tokens.weight if config.tie in ("all", "output") else TokenEmbedding(config).weight
        self.bias = nn.Parameter(mg.zeros(config.vocab_size)) if config.output_bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x if self.scale == 1.0 else x * self.scale, self.weight, self.bias)


LINEAR = (nn.Linear, OutputProjection)  # the layers that can be quantised


def initialize(model: nn.Module, config: TransformerConfig) -> None:
    """Initialize all linear layers: Xavier (Glorot and Bengio, 2010), or normal.

    Normal ones are narrower by the root of the number of residuals where they end a sublayer, so that the residual
    stream does not grow with the depth (Radford et al., 2019, section 2.3).
    """
    residuals = 2 * (config.encoder_layers + config.decoder_layers)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            if config.init_std is None:
                nn.init.xavier_uniform_(module.weight)
            else:
                ends = name.endswith(("attention.output", "feed_forward.contract"))
                nn.init.normal_(module.weight, std=config.init_std / (residuals**0.5 if ends else 1.0))
            if module.bias is not None:
                nn.init.constant_(module.bias, 0.0)
