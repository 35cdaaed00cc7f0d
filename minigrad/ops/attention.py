"""Scaled dot-product attention as one operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.promotion import promote
from minigrad.engine.tensor import Array
from minigrad.ops.elementwise import where
from minigrad.ops.normalization import softmax
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.ops.products import matmul
from minigrad.ops.shape import broadcast_to, matrix_transpose, reshape

__all__ = [
    "fused_attention",
]


@primitive
def fused_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    /,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
) -> WithResiduals:
    """softmax(Q Kᵀ · scale) V in tiles: scores are never written out, the backward pass computes them again.

    Args:
        query: (…, H, Q, D).
        key: (…, G, K, D), where each of the G heads serves H / G query heads in a row.
        value: (…, G, K, E).
        mask: boolean, broadcastable to (…, H, Q, K); True means may attend. Or floating, added to the scores; it gets
            no gradient from here, only from :func:`composed_attention`.
        scale: of the scores.
        causal: whether position q sees only positions up to q.
        dropout: the probability with which weights are zeroed; the others are divided by 1 - dropout.
        seed: of [0, 2⁶³), decides which.

    Source: Dao et al., "FlashAttention: Fast and memory-efficient exact attention with IO-awareness", 2022.
    """
    query, key, value, mask = _alike(query, key, value, mask)
    out, normalizer = kernels.scaled_dot_product_attention(
        query, key, value, mask, causal=causal, scale=scale, dropout=dropout, seed=seed
    )
    return WithResiduals(out, normalizer=normalizer)


fused_attention.name = "scaled_dot_product_attention"


@fused_attention.joint_vjp
def _fused_attention_vjp(
    g: Array,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    out: Array,
    normalizer: Array,
    scale: float,
    causal: bool,
    dropout: float,
    seed: int,
) -> list[Any]:
    query, key, value, mask = _alike(query, key, value, mask)
    gradients = kernels.scaled_dot_product_attention_backward(
        g, query, key, value, out, normalizer, mask, causal=causal, scale=scale, dropout=dropout, seed=seed
    )
    return [*gradients, None]


def _alike(query: Array, key: Array, value: Array, mask: Array | None) -> list[Any]:
    """Operands of one floating dtype; a boolean mask stays as it is."""
    if mask is None or mask.dtype.kind != "f":
        return [*promote([query, key, value], floating=True), mask]
    return promote([query, key, value, mask], floating=True)


@fused_attention.composed
def composed_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
) -> Any:
    """What :func:`fused_attention` computes, step by step. Vaswani et al., 2017, equation 1."""
    heads = query.shape[-3:-2]
    key, value = _for_heads(key, heads), _for_heads(value, heads)
    scores = matmul(query, matrix_transpose(key)) * scale
    if mask is not None:
        scores = where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    if causal:
        scores = where(np.tri(query.shape[-2], key.shape[-2], dtype=np.bool_), scores, -np.inf)
    weights = softmax(scores, -1)
    if dropout:
        # Values of more heads or examples than there are weights for: each has weights dropped of its own.
        lead = np.broadcast_shapes(weights.shape[:-2], value.shape[:-2])
        weights = weights * kernels.dropout(np.ones((*lead, *weights.shape[-2:]), weights.dtype), dropout, seed)
    return matmul(weights, value)


def _for_heads(x: Any, heads: tuple[int, ...]) -> Any:
    """(…, G, K, D) as (…, H, K, D): each of the G heads serves H / G query heads in a row."""
    if not heads or x.ndim < 3 or x.shape[-3] in (1, *heads) or heads == (1,):
        return x
    *batch, groups, length, width = x.shape
    apart = reshape(x, (*batch, groups, 1, length, width))
    wide = broadcast_to(apart, (*batch, groups, heads[0] // groups, length, width))
    return reshape(wide, (*batch, heads[0], length, width))
