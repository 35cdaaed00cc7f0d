"""Attention: a weighted mean of values, weighted by how well queries and keys agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.grad_mode import is_grad_enabled
from minigrad.engine.promotion import promote
from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.nn.functional.dropout import check_probability
from minigrad.ops.autocast import autocast, product_precision
from minigrad.ops.elementwise import tanh, where
from minigrad.ops.operands import as_operands
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.ops.products import matmul
from minigrad.ops.shape import broadcast_to, matrix_transpose, reshape
from minigrad.ops.softmax import softmax
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
    *,
    softcap: float | None = None,
) -> Tensor:
    """Scaled dot-product attention: softmax(Q Kᵀ · scale) V. Vaswani et al., 2017, equation 1.

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
        softcap: bound c of the scores, which become c · tanh(scores / c) before masks (Gemma 2, section 2). The scores
            are written out then.

    Returns:
        (…, H, Q, E). A row with nothing to attend to gives zeros and a zero gradient.

    Raises:
        ValueError: shapes do not fit; the message names the argument.
        TypeError: the mask has neither booleans nor floats.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> mg.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)[0]
        tensor([1., 2.])
    """
    mask, tensors = attn_mask, isinstance(query, Tensor) and isinstance(key, Tensor) and isinstance(value, Tensor)
    if not tensors or not (mask is None or isinstance(mask, Tensor)):
        query, key, value, mask = as_operands("attn_mask", query=query, key=key, value=value, attn_mask=mask)
    q, k, v = query.shape, key.shape, value.shape
    usual = q[:-2] == k[:-2] == v[:-2] and q[-1:] == k[-1:] and k[-2:-1] == v[-2:-1] and len(q) > 2
    lead = q[:-2] if usual else _check_shapes(q, k, v, enable_gqa)
    if mask is not None:
        _check_mask(mask, (*lead, q[-2], k[-2]))
    if type(dropout_p) is not float or not 0 <= dropout_p <= 1:
        check_probability(dropout_p)
    if isinstance(scale, Tensor):  # it may be learned
        query, scale = query * scale, 1.0
    # The fused operation would have to write scores out to differentiate a mask that was added to them.
    learned = mask is not None and mask.requires_grad and is_grad_enabled()
    attend = composed_attention if learned else fused_attention
    scale = 1 / math.sqrt(q[-1]) if scale is None else float(scale)
    seed = draw_seed(shape=(*lead, q[-2], k[-2])) if dropout_p else 0
    options = scale, bool(is_causal), float(dropout_p), seed, product_precision.get()
    if softcap is not None:
        return composed_attention(query, key, value, mask, *options, softcap=softcap)
    return attend(query, key, value, mask, *options)


def _check_shapes(query: Shape, key: Shape, value: Shape, grouped: bool) -> Shape:
    """The leading axes of the result.

    Raises:
        ValueError: shapes do not fit; the message names the argument.
    """
    for name, shape in (("query", query), ("key", key), ("value", value)):
        if len(shape) < (3 if grouped else 2):
            expected = "heads, positions and features" if grouped else "positions by features"
            raise ValueError(f"{name}: expected {expected}, got shape {shape}")
    if query[-1] != key[-1]:
        raise ValueError(f"key: expected the query's {query[-1]} features, got shape {key}")
    if key[-2] != value[-2]:
        raise ValueError(f"value: expected the key's {key[-2]} positions, got shape {value}")
    lead = query[:-2]
    for name, shape in (("key", key), ("value", value)):
        shared = shape[:-2]
        if grouped:
            if query[-3] % max(shape[-3], 1):
                raise ValueError(f"{name}: its {shape[-3]} heads cannot serve {query[-3]} query heads evenly")
            shared = (*shape[:-3], query[-3])
        if shared != lead:
            try:
                lead = np.broadcast_shapes(shared, lead)
            except ValueError:
                raise ValueError(f"{name}: expected a shape that fits the query's {query}, got {shape}") from None
    return lead


def _check_mask(mask: Tensor, scores: Shape) -> None:
    if mask.dtype.kind not in "bf":
        raise TypeError(f"attn_mask: expected booleans, or floats to add to the scores, got {mask.dtype}")
    shape = mask.shape
    fits = len(shape) <= len(scores)
    for size, wanted in zip(reversed(shape), reversed(scores), strict=False):
        fits = fits and size in (1, wanted)
    if not fits:
        raise ValueError(f"attn_mask: expected a shape that broadcasts to {scores}, got {shape}")


@primitive
def fused_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    /,
    scale: float = 1.0,
    causal: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
    precision: str | None = None,
) -> WithResiduals:
    """Attention in tiles: scores are never written out, the backward pass computes them again.

    Args:
        query: (…, H, Q, D).
        key: (…, G, K, D), where each of the G heads serves H / G query heads in a row.
        value: (…, G, K, E).
        mask: boolean, broadcastable to (…, H, Q, K); True means may attend. Or floating, added to the scores; it gets
            no gradient from here, only from :func:`composed_attention`.
        scale: of the scores.
        causal: whether position q sees only positions up to q.
        dropout: the probability with which weights are zeroed; the others are divided by 1 - dropout.
        seed: a signed integer of 64 bits, decides which.
        precision: of the products' operands, as for :func:`matmul`.

    Source: Dao et al., "FlashAttention: Fast and memory-efficient exact attention with IO-awareness", 2022.
    """
    query, key, value, mask = _alike(query, key, value, mask)
    options = {"causal": causal, "scale": scale, "dropout": dropout, "seed": seed, "precision": precision}
    out, normalizer = kernels.scaled_dot_product_attention(query, key, value, mask, **options)
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
    precision: str | None,
) -> list[Any]:
    query, key, value, mask = _alike(query, key, value, mask)
    options = {"causal": causal, "scale": scale, "dropout": dropout, "seed": seed, "precision": precision}
    gradients = kernels.scaled_dot_product_attention_backward(g, query, key, value, out, normalizer, mask, **options)
    return [*gradients, None]


def _alike(query: Array, key: Array, value: Array, mask: Array | None) -> list[Any]:
    """Operands of one floating dtype; a boolean mask stays as it is."""
    operands, dtype = [query, key, value], query.dtype
    if mask is not None and mask.dtype.kind == "f":
        operands.append(mask)
    for operand in operands:
        if operand.dtype != dtype or dtype.kind != "f":
            operands = promote(operands, floating=True)
            break
    return operands if len(operands) == 4 else [*operands, mask]


@fused_attention.composed
def composed_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    scale: float = 1.0,
    causal: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
    precision: str | None = None,
    softcap: float | None = None,
) -> Any:
    """:func:`fused_attention` step by step, and with bounded scores. Vaswani et al., 2017, equation 1."""
    heads = query.shape[-3:-2]
    key, value = _for_heads(key, heads), _for_heads(value, heads)
    with autocast(enabled=precision is not None):
        scores = matmul(query, matrix_transpose(key)) * scale
    if softcap is not None:
        scores = tanh(scores / softcap) * softcap
    if mask is not None:
        scores = where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    if causal:
        scores = where(np.tri(query.shape[-2], key.shape[-2], dtype=np.bool_), scores, -np.inf)
    weights = softmax(scores, -1)
    if dropout:
        # Values of more heads or examples than there are weights for: each has weights dropped of its own.
        lead = np.broadcast_shapes(weights.shape[:-2], value.shape[:-2])
        weights = weights * kernels.dropout(np.ones((*lead, *weights.shape[-2:]), weights.dtype), dropout, seed)
    with autocast(enabled=precision is not None):
        return matmul(weights, value)


def _for_heads(x: Any, heads: tuple[int, ...]) -> Any:
    """(…, G, K, D) as (…, H, K, D): each of the G heads serves H / G query heads in a row."""
    if not heads or x.ndim < 3 or x.shape[-3] in (1, *heads) or heads == (1,):
        return x
    *batch, groups, length, width = x.shape
    apart = reshape(x, (*batch, groups, 1, length, width))
    wide = broadcast_to(apart, (*batch, groups, heads[0] // groups, length, width))
    return reshape(wide, (*batch, heads[0], length, width))
