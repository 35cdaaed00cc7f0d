"""Transformer layer and its parts. "Attention Is All You Need", sections 3.1 and 3.3, Figure 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from minigrad.nn.quantized import QuantizedWeight
from transformer.model.attention import MultiHeadAttention, ScaledDotProductAttention, Visibility
from transformer.model.cache import LayerCache
from transformer.model.config import TransformerConfig
from transformer.model.positions import RelativePositions


class ActivationFunction(nn.Module):
    """Activation function as a module, so that hooks see its output."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by the tanh approximation of GPT-2 and BERT's original code. Hendrycks and Gimpel, 2016, section 2."""
    return F.gelu(x, approximate="tanh")


def gelu_sigmoid(x: Tensor) -> Tensor:
    """GELU by the sigmoid approximation x · σ(1.702 x), "quick GELU". Hendrycks and Gimpel, 2016, section 2."""
    return x * F.sigmoid(x * 1.702)


def relu_squared(x: Tensor) -> Tensor:
    """Squared ReLU. So et al., 2021: "Primer"."""
    positive = F.relu(x)
    return positive * positive


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {  # and if it is gated
    "relu": (F.relu, False),
    "relu_squared": (relu_squared, False),
    "gelu": (F.gelu, False),
    "gelu_tanh": (gelu_tanh, False),
    "gelu_sigmoid": (gelu_sigmoid, False),
    "silu": (F.silu, False),
    "tanh": (F.tanh, False),
    "reglu": (F.relu, True),
    "geglu": (gelu_tanh, True),
    "geglu_exact": (F.gelu, True),
    "swiglu": (F.silu, True),
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


class OffsetRMSNorm(nn.Module):
    """RMSNorm whose weights are stored less one, so that weight decay pulls them to one. Gemma Team, 2024."""

    def __init__(self, width: int, eps: float) -> None:
        self.eps = eps
        self.weight = nn.Parameter(mg.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape[0], self.weight + 1.0, self.eps)


def normalization(config: TransformerConfig, width: int | None = None) -> nn.LayerNorm | nn.RMSNorm | OffsetRMSNorm:
    """Normalization layer of a model, of vectors of some width: ``d_model`` when None."""
    width = config.d_model if width is None else width
    if config.norm == "layer":
        return nn.LayerNorm(width, config.norm_eps, bias=config.bias if config.norm_bias is None else config.norm_bias)
    return (nn.RMSNorm if config.norm == "rms" else OffsetRMSNorm)(width, config.norm_eps)


class Residual(nn.Module):
    """Residual connection: LayerNorm(x + Dropout(Sublayer(x))). Section 3.1 and, for the dropout, 5.4.

    With ``norm_first`` it is x + Dropout(Sublayer(LayerNorm(x))), which trains without warm-up (Xiong et al., 2020). A
    second norm may follow the sublayer: Gemma Team, 2024 ("Gemma 2").
    """

    def __init__(self, config: TransformerConfig, first: bool = False) -> None:
        normed = config.norm_inputs == "all" or (config.norm_inputs == "all_but_first" and not first)
        self.norm = normalization(config) if normed else nn.Identity()
        self.output_norm = normalization(config) if config.norm_outputs else None
        self.dropout = nn.Dropout(config.dropout)
        self.norm_first = config.norm_first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.update(x, sublayer)
        return self.norm(x + self.dropout(sublayer(x)))

    def update(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Vectors that are added to x, with ``norm_first``."""
        y = sublayer(self.norm(x))
        return self.dropout(y if self.output_norm is None else self.output_norm(y))


class TransformerLayer(nn.Module):
    """Transformer layer: self-attention, optional cross-attention, feed-forward network, each in a residual.

    Self-attention and feed-forward network may read the same x, in parallel: Wang and Komatsuzaki, 2021 ("GPT-J").

    Args:
        config: of the model.
        cross_attention: attend to a memory, as a decoder with an encoder does.
        number: of the layer, from 0.
        causal: True in a decoder.
    """

    def __init__(self, config: TransformerConfig, cross_attention: bool, number: int = 0, causal: bool = False) -> None:
        self.positions = RelativePositions(config, causal) if config.relative_by_layer else None
        self.self_attention = _attention(config, number)
        self.self_attention_residual = Residual(config, first=number == 0)
        self.cross_attention = _attention(config, number) if cross_attention else None
        self.cross_attention_residual = Residual(config) if cross_attention else None
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = Residual(config)
        self.parallel = config.parallel != "no"
        if config.parallel == "one_norm":
            for residual in (self.cross_attention_residual, self.feed_forward_residual):
                if residual is not None:
                    residual.norm = self.self_attention_residual.norm

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
        if self.positions is not None:
            length = x.shape[1]
            visible = visible._replace(bias=self.positions.bias(length, length + (own.length if own else 0)))

        sublayers = [(self.self_attention_residual, lambda y: self.self_attention(y, y, visible, own, rotation))]
        if self.cross_attention is not None and self.cross_attention_residual is not None:
            look_up = self.cross_attention
            sublayers.append((self.cross_attention_residual, lambda y: look_up(y, memory, memory_visible, cross)))
        sublayers.append((self.feed_forward_residual, self.feed_forward))
        if self.parallel:
            return sum((residual.update(x, sublayer) for residual, sublayer in sublayers), start=x)
        for residual, sublayer in sublayers:
            x = residual(x, sublayer)
        return x


def _attention(config: TransformerConfig, number: int) -> MultiHeadAttention:
    bias = config.bias if config.attention_bias is None else config.attention_bias
    attention = MultiHeadAttention(
        config.d_model,
        config.num_heads,
        num_kv_heads=config.num_kv_heads,
        d_k=config.d_k,
        bias=bias if config.qkv_bias is None else config.qkv_bias,
        output_bias=bias,
    )
    divisor = number + 1.0 if config.scale_by_layer else 1.0
    if config.scale_scores:
        divisor *= (attention.d_k if config.scale_width is None else config.scale_width) ** 0.5
    scale = None if config.scale_scores and divisor == attention.d_k**0.5 else 1 / divisor
    attention.attend = ScaledDotProductAttention(config.attention_dropout, scale, config.softcap_scores)
    if config.norm_queries != "no":
        heads = (1, 1) if config.norm_queries == "by_head" else (config.num_heads, config.kv_heads)
        attention.query_norm, attention.key_norm = (normalization(config, count * attention.d_k) for count in heads)
    return attention


class TokenEmbedding(nn.Module):
    """Token embedding, multiplied by √d_model. Section 3.4."""

    def __init__(self, config: TransformerConfig) -> None:
        self.scale = config.d_model**0.5 if config.scale_embedding else 1.0
        self.weight: Any = nn.Parameter(mg.empty((config.vocab_size, config.embedding_width)))
        nn.init.normal_(self.weight, std=config.init_std or config.d_model**-0.5)

    def forward(self, ids: Any) -> Tensor:
        """Token ids (B, T) to vectors (B, T, D)."""
        quantized = isinstance(self.weight, QuantizedWeight)
        x = self.weight.rows(mg.asarray(ids).data) if quantized else F.embedding(ids, self.weight)
        return x if self.scale == 1.0 else x * self.scale


class OutputProjection(nn.Module):
    """Output projection: vectors (B, T, D) to logits (B, T, V). Section 3.4.

    Its matrix may be the token embedding's: Press and Wolf, 2017. Logits may be bounded, as scores are.
    """

    def __init__(self, config: TransformerConfig, tokens: TokenEmbedding) -> None:
        self.scale = config.d_model**-0.5 if config.scale_output else 1.0
        self.weight = tokens.weight if config.tie in ("all", "output") else TokenEmbedding(config).weight
        self.bias = nn.Parameter(mg.zeros(config.vocab_size)) if config.output_bias else None
        self.softcap = config.softcap_output

    def forward(self, x: Tensor) -> Tensor:
        logits = F.linear(x if self.scale == 1.0 else x * self.scale, self.weight, self.bias)
        return logits if self.softcap is None else mg.tanh(logits / self.softcap) * self.softcap


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
