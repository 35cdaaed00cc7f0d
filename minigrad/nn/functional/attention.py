"""Attention: a weighted mean of values, weighted by how well queries and keys agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.engine.grad_mode import is_grad_enabled
from minigrad.engine.tensor import Shape, Tensor
from minigrad.nn.functional.dropouts import check_probability
from minigrad.ops.attention import composed_attention, fused_attention
from minigrad.ops.operands import as_operands
from minigrad.random import draw_seed

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

    One operation whose memory is linear in the lengths: the scores are never written out.

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
    query, key, value, mask = as_operands("attn_mask", query=query, key=key, value=value, attn_mask=attn_mask)
    scores = _scores_shape(query, key, value, enable_gqa)
    if mask is not None:
        if mask.dtype.kind not in "bf":
            raise TypeError(f"attn_mask: expected booleans, or floats to add to the scores, got {mask.dtype}")
        if not _broadcasts_to(mask.shape, scores):
            raise ValueError(f"attn_mask: expected a shape that broadcasts to {scores}, got {mask.shape}")
    check_probability(dropout_p)
    if isinstance(scale, Tensor):  # it may be learned
        query, scale = query * scale, 1.0
    # The fused operation would have to write scores out to differentiate a mask that was added to them.
    learned = mask is not None and mask.requires_grad and is_grad_enabled()
    attend = composed_attention if learned else fused_attention
    return attend(
        query,
        key,
        value,
        mask,
        scale=1 / math.sqrt(query.shape[-1]) if scale is None else float(scale),
        causal=bool(is_causal),
        dropout=float(dropout_p),
        seed=draw_seed() if dropout_p else 0,
    )


def _scores_shape(query: Tensor, key: Tensor, value: Tensor, grouped: bool) -> Shape:
    """(…, H, Q, K), after a check of all shapes."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.ndim < (3 if grouped else 2):
            expected = "heads, positions and features" if grouped else "positions by features"
            raise ValueError(f"{name}: expected {expected}, got shape {x.shape}")
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"key: expected the query's {query.shape[-1]} features, got shape {key.shape}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"value: expected the key's {key.shape[-2]} positions, got shape {value.shape}")
    lead = query.shape[:-2]
    for name, x in (("key", key), ("value", value)):
        shared = x.shape[:-2]
        if grouped:
            if query.shape[-3] % max(x.shape[-3], 1):
                raise ValueError(f"{name}: its {x.shape[-3]} heads cannot serve {query.shape[-3]} query heads evenly")
            shared = (*x.shape[:-3], query.shape[-3])
        if shared != lead:
            try:
                lead = np.broadcast_shapes(shared, lead)
            except ValueError:
                raise ValueError(
                    f"{name}: expected a shape that fits the query's {query.shape}, got {x.shape}"
                ) from None
    return (*lead, query.shape[-2], key.shape[-2])


def _broadcasts_to(shape: Shape, target: Shape) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False
