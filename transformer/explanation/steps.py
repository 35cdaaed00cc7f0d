"""Steps of a Transformer: the formula of each, and the lines of code that do it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import minigrad
from minigrad.nn import LayerNorm, RMSNorm
from minigrad.nn.functional.attention import composed_attention
from transformer.data.tokenizer import Tokenizer
from transformer.decode.processors import log_softmax
from transformer.model.attention import MultiHeadAttention
from transformer.model.layers import (
    FeedForward,
    OffsetRMSNorm,
    OutputProjection,
    Residual,
    TokenEmbedding,
    TransformerLayer,
)
from transformer.model.models import MaskedLM
from transformer.model.positions import (
    FairseqPositions,
    LearnedPositions,
    SinusoidalHalvesPositions,
    SinusoidalPositions,
    rotate,
)
from transformer.model.stacks import Stack

ROOT = Path(minigrad.__file__).parents[1]


class Kind(NamedTuple):
    """Kind of step: its title, its formula, the function that does it, and the line there by a part of it."""

    title: str
    formula: str  # `_` and `^` before a letter or a {group}: sub- and superscripts
    function: Callable[..., Any]
    line: str


class Source(NamedTuple):
    """Lines of a function, and those among them that do a step."""

    file: str
    start: int  # number of the first line
    text: str
    lines: tuple[int, ...]


KINDS = {
    "tokens": Kind("Tokens", "text → ids", Tokenizer.encode, "return"),
    "embedding": Kind("Token embeddings", "x = E[id]", TokenEmbedding.forward, "F.embedding"),
    "scaled_embedding": Kind("Token embeddings", "x = E[id] · √d_{model}", TokenEmbedding.forward, "self.scale"),
    "types": Kind("Token types", "S[type], learned", Stack.embed, "self.types(mg.zeros_like"),
    "sinusoidal": Kind(
        "Positions",
        "PE(pos, 2i) = sin(pos / 10000^{2i/d}), PE(pos, 2i+1) = cos(pos / 10000^{2i/d})",
        SinusoidalPositions.forward,
        "self.table",
    ),
    "sinusoidal_halves": Kind(
        "Positions",
        "PE(pos, i) = sin(pos / 10000^{2i/d}), PE(pos, d/2+i) = cos(pos / 10000^{2i/d})",
        SinusoidalHalvesPositions.forward,
        "self.table",
    ),
    "sinusoidal_fairseq": Kind(
        "Positions",
        "PE(pos, i) = sin((pos + pad + 1) / 10000^{2i/(d−2)}), PE(pos, d/2+i) the cosine",
        FairseqPositions.forward,
        "self.table",
    ),
    "learned": Kind("Positions", "P[pos], learned", LearnedPositions.forward, "self.weight"),
    "input": Kind("Input of the first layer", "x = the sum of these", Stack.embed, "self.positions(x, positions)"),
    "normed_input": Kind(
        "Input of the first layer", "x = Norm(the sum of these)", Stack.embed, "self.embedding_norm(x)"
    ),
    "projected_input": Kind(
        "Input of the first layer, as wide as the layers", "x W + b", Stack.embed, "self.projection(x)"
    ),
    "norm": Kind("Norm", "LayerNorm(x) = (x − mean) / √(variance + ε) · γ + β", LayerNorm.forward, "return"),
    "rms": Kind("Norm", "RMSNorm(x) = x / √(mean of squares + ε) · γ", RMSNorm.forward, "return"),
    "offset_rms": Kind(
        "Norm", "RMSNorm(x) = x / √(mean of squares + ε) · (1 + γ)", OffsetRMSNorm.forward, "self.weight + 1.0"
    ),
    "query": Kind("Queries", "Q_i = x W_i^Q", MultiHeadAttention.forward, "self.query(query)"),
    "key": Kind("Keys", "K_i = x W_i^K", MultiHeadAttention.forward, "self.key(memory)"),
    "value": Kind("Values", "V_i = x W_i^V", MultiHeadAttention.forward, "self.value(memory)"),
    "rotated_query": Kind("Queries, turned by their positions", "Q_i = R(pos) x W_i^Q", rotate, "mg.concat"),
    "rotated_key": Kind("Keys, turned by their positions", "K_i = R(pos) x W_i^K", rotate, "mg.concat"),
    "normed_query": Kind(
        "Queries, normalised and turned", "Q_i = R(pos) Norm(x W_i^Q)", MultiHeadAttention._split, "norm(x.reshape"
    ),
    "normed_key": Kind(
        "Keys, normalised and turned", "K_i = R(pos) Norm(x W_i^K)", MultiHeadAttention._split, "norm(x.reshape"
    ),
    "scores": Kind("Scores", "Q_i K_i^T / √d_k", composed_attention, "scores = matmul"),
    "unscaled_scores": Kind("Scores", "Q_i K_i^T", composed_attention, "scores = matmul"),
    "rescaled_scores": Kind("Scores", "Q_i K_i^T · scale", composed_attention, "scores = matmul"),
    "capped_scores": Kind("Bounded scores", "c · tanh(scores / c)", composed_attention, "tanh(scores"),
    "biased_scores": Kind("Scores with position bias", "Q_i K_i^T · scale + bias", composed_attention, "scores + mask"),
    "mask": Kind("Mask", "hidden scores become −∞", composed_attention, "where("),
    "weights": Kind("Softmax", "A_i = softmax(scores), each row", composed_attention, "softmax(scores"),
    "context": Kind("Weighted sum", "head_i = A_i V_i", composed_attention, "matmul(weights, value)"),
    "joined": Kind("Heads joined", "Concat(head_1, …, head_h) W^O", MultiHeadAttention.forward, "self.output(context"),
    "output_norm": Kind("Norm of the sublayer's output", "Norm(sublayer)", Residual.update, "self.output_norm(y)"),
    "update": Kind("Part of the sum", "sublayer(Norm(x))", Residual.update, "return self.dropout"),
    "parallel": Kind("Residual", "x ← x + all parts", TransformerLayer.forward, "return sum("),
    "post_norm": Kind("Residual and norm", "x ← Norm(x + sublayer(x))", Residual.forward, "self.norm(x + "),
    "pre_norm": Kind("Residual", "x ← x + sublayer(Norm(x))", Residual.forward, "return x + "),
    "hidden": Kind("Feed-forward, hidden", "h = f(x W_1 + b_1)", FeedForward.forward, "self.activation(inner)"),
    "gated": Kind("Feed-forward, hidden", "h = f(x W_g) ∘ x W_1", FeedForward.forward, "self.activation(self.gate"),
    "feed_forward": Kind("Feed-forward, out", "h W_2 + b_2", FeedForward.forward, "self.contract"),
    "last_norm": Kind("Norm after the last layer", "Norm(x)", Stack.run, "self.norm(x)"),
    "transform": Kind("Transform", "Norm(f(x W + b))", MaskedLM.forward, "self.transform(x)"),
    "logits": Kind("Logits", "z = x E^T + b", OutputProjection.forward, "F.linear"),
    "probabilities": Kind("Probabilities", "p = softmax(z / temperature)", log_softmax, "return"),
    "self_attention": Kind("Self-attention", "", TransformerLayer.forward, "self.self_attention(y"),
    "cross_attention": Kind("Cross-attention", "", TransformerLayer.forward, "look_up(y, memory"),
    "sublayer": Kind("Feed-forward network", "", TransformerLayer.forward, "self.feed_forward)"),
}


@cache
def source_of(name: str) -> Source:
    """Source lines of a kind of step."""
    kind = KINDS[name]
    function = getattr(kind.function, "__wrapped__", kind.function)
    lines, start = inspect.getsourcelines(function)
    marked = tuple(start + number for number, line in enumerate(lines) if kind.line in line)
    file = Path(inspect.getsourcefile(function) or "").resolve()
    return Source(file.relative_to(ROOT).as_posix(), start, textwrap.dedent("".join(lines)), marked)
