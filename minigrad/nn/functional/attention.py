"""Attention: a weighted mean of values, weighted by how well queries and keys agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.nn.functional.dropouts import dropout
from minigrad.ops.creation import asarray
from minigrad.ops.elementwise import where
from minigrad.ops.normalization import softmax
from minigrad.ops.products import matmul
from minigrad.ops.shape import broadcast_to, matrix_transpose, reshape
from minigrad.tensor import Shape, Tensor

__all__ = [
    "scaled_dot_product_attention",
]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(Q Kᵀ · scale) V. Vaswani et al., 2017, equation 1.

    Args:
        query: (…, H, Q, D).
        key: (…, H, K, D).
        value: (…, H, K, E).
        attn_mask: boolean, broadcastable to (…, H, Q, K); True means may attend. Or floating, added to the scores.
        dropout_p: the probability with which attention weights are zeroed.
        is_causal: whether position q sees only positions up to q.
        scale: 1/√D when None.
        enable_gqa: let groups of query heads share a head of keys and values, of which there are then fewer (Ainslie
            et al., 2023).

    Returns:
        (…, H, Q, E). A row with nothing to attend to gives zeros and a zero gradient.

    Raises:
        ValueError: shapes do not fit; the message names the argument.
        TypeError: the mask has neither booleans nor floats.
    """
    query, key, value = asarray(query), asarray(key), asarray(value)
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"key: expected the query's {query.shape[-1]} features, got shape {key.shape}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"value: expected the key's {key.shape[-2]} positions, got shape {value.shape}")
    if enable_gqa:
        key, value = (_shared_heads(name, x, query.shape[-3]) for name, x in (("key", key), ("value", value)))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = matmul(query, matrix_transpose(key)) * scale
    if is_causal:
        scores = where(np.tri(query.shape[-2], key.shape[-2], dtype=np.bool_), scores, -np.inf)
    if attn_mask is not None:
        mask = asarray(attn_mask)
        if mask.dtype.kind not in "bf":
            raise TypeError(f"attn_mask: expected booleans, or floats to add to the scores, got {mask.dtype}")
        if not _broadcasts_to(mask.shape, scores.shape):
            raise ValueError(f"attn_mask: expected a shape that broadcasts to {scores.shape}, got {mask.shape}")
        scores = where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    return matmul(dropout(softmax(scores, -1), dropout_p), value)


def _broadcasts_to(shape: Shape, target: Shape) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _shared_heads(name: str, x: Tensor, heads: int) -> Tensor:
    """(…, G, K, D) as (…, H, K, D): each of the G heads serves H / G query heads in a row."""
    *batch, groups, length, width = x.shape
    if heads % groups:
        raise ValueError(f"{name}: its {groups} heads cannot serve {heads} query heads evenly")
    apart = reshape(x, (*batch, groups, 1, length, width))
    wide = broadcast_to(apart, (*batch, groups, heads // groups, length, width))
    return reshape(wide, (*batch, heads, length, width))
