"""Layers as functions, with PyTorch's signatures (``dim`` reads ``axis`` here)."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from minigrad.ops import linalg, loss, normalization
from minigrad.ops.elementwise import relu, sigmoid, softplus, where
from minigrad.ops.indexing import take_rows
from minigrad.ops.normalization import log_softmax, softmax
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import logsumexp, sum
from minigrad.ops.shape import broadcast_to
from minigrad.random import Generator, keep_mask
from minigrad.tensor import Array, Shape, Tensor, as_array

Reduction = Literal["none", "mean", "sum"]

__all__ = [
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "embedding",
    "layer_norm",
    "linear",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "relu",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """``input @ weightᵀ + bias``: (…, in), (out, in) and (out,) give (…, out).

    Raises:
        ValueError: the last axis of ``input`` is not as long as a row of ``weight``.
    """
    if input.shape[-1:] != weight.shape[-1:]:
        raise ValueError(f"input: expected {weight.shape[-1]} features on the last axis, got shape {input.shape}")
    product = linalg.matmul(input, weight.mT)
    return product if bias is None else product + bias


def embedding(input: Any, weight: Any) -> Tensor:
    """The rows of ``weight`` (count, D) at integer ``input`` (…): (…, D)."""
    if weight.ndim != 2:
        raise ValueError(f"weight: expected shape (count, D), got {weight.shape}")
    return take_rows(weight, input)


def silu(input: Any) -> Tensor:
    """x · sigmoid(x). Elfwing, Uchibe and Doya, 2017."""
    return input * sigmoid(input)


def check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p: expected a probability between 0 and 1, got {p}")


@primitive
def _masked_scale(x: Array, /, keep: Array, scale: float) -> Array:
    return x * (keep * x.dtype.type(scale))


_masked_scale.vjp(x=lambda g, keep, scale: _masked_scale(g, keep, scale))
_masked_scale.name = "dropout"


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """In training, zero each element with probability ``p`` and scale the others by 1/(1-p)."""
    check_probability(p)
    if not training or p == 0:
        return input
    keep = keep_mask(input.shape, 1 - p, generator)
    return _masked_scale(input, keep, 1 / (1 - p) if p < 1 else 0.0)


def layer_norm(
    input: Any, normalized_shape: tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Mean 0 and variance 1 over the last axes, whose sizes are ``normalized_shape``, then ``· weight + bias``."""
    axes = len(normalized_shape)
    if not axes or tuple(input.shape[-axes:]) != tuple(normalized_shape):
        raise ValueError(f"normalized_shape: the last axes of shape {input.shape} are not {tuple(normalized_shape)}")
    if axes == 1:
        return normalization.layer_norm(input, weight, bias, eps)
    rows = input.reshape(*input.shape[:-axes], math.prod(normalized_shape))
    flat = [value if value is None else value.reshape(-1) for value in (weight, bias)]
    return normalization.layer_norm(rows, *flat, eps).reshape(input.shape)


def _reduced(losses: Any, reduction: Reduction, count: Any) -> Tensor:
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction: expected 'none', 'mean' or 'sum', got {reduction!r}")
    total = sum(losses)
    return total if reduction == "sum" else total / count


def cross_entropy(
    input: Any,
    target: Any,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of logits against integer classes.

    Args:
        input: logits, (N, classes).
        target: classes, (N,) integers in [0, classes), or ``ignore_index``.
        ignore_index: targets of this value do not count.
        reduction: "mean" over the targets that count, "sum", or "none" for each row's loss.
        label_smoothing: ε of Szegedy et al., 2016, section 7.

    Raises:
        ValueError: shapes do not fit or a class is out of range.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing: expected a number between 0 and 1, got {label_smoothing}")
    targets, counted = _classes(input, target, ignore_index)
    losses = loss.row_cross_entropy(input, targets, ignore_index, label_smoothing)
    return _reduced(losses, reduction, int(counted.sum()))


def nll_loss(input: Any, target: Any, ignore_index: int = -100, reduction: Reduction = "mean") -> Tensor:
    """The negative log-likelihood of (N,) classes under (N, classes) log-probabilities."""
    targets, counted = _classes(input, target, ignore_index)
    chosen = input[np.arange(len(targets)), np.where(counted, targets, 0)]
    return _reduced(where(counted, -chosen, 0), reduction, int(counted.sum()))


def _classes(input: Any, target: Any, ignore_index: int) -> tuple[Array, Array]:
    """Targets as int64, one for each row of (N, classes), and which of them count."""
    targets = as_array(target)
    if input.ndim != 2 or targets.shape != input.shape[:1]:
        raise ValueError(f"target: expected (N,) for input (N, classes), got {targets.shape} for {input.shape}")
    if targets.dtype.kind not in "iu":
        raise TypeError(f"target: expected integer classes, got {targets.dtype}")
    counted = targets != ignore_index
    if (counted & ((targets < 0) | (targets >= input.shape[1]))).any():
        raise ValueError(f"target: expected classes 0 to {input.shape[1] - 1} or {ignore_index}")
    return targets.astype(np.int64), counted


def _check_same_shape(input: Any, target: Any) -> None:
    if np.shape(input) != np.shape(target):
        raise ValueError(f"target: expected the input's shape {np.shape(input)}, got {np.shape(target)}")


def mse_loss(input: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """The squared difference."""
    _check_same_shape(input, target)
    difference = input - target
    return _reduced(difference * difference, reduction, difference.size)


def binary_cross_entropy_with_logits(input: Any, target: Any, reduction: Reduction = "mean") -> Tensor:
    """The cross-entropy of logits against probabilities: softplus(x) - x·target."""
    _check_same_shape(input, target)
    losses = softplus(input) - input * target
    return _reduced(losses, reduction, losses.size)


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
    """
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"key: expected the query's {query.shape[-1]} features, got shape {key.shape}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"value: expected the key's {key.shape[-2]} positions, got shape {value.shape}")
    if enable_gqa:
        key, value = (_shared_heads(name, x, query.shape[-3]) for name, x in (("key", key), ("value", value)))
    scores = linalg.matmul(query, key.mT) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        scores = where(np.tri(query.shape[-2], key.shape[-2], dtype=np.bool_), scores, -np.inf)
    if attn_mask is not None:
        mask = as_array(attn_mask)
        if mask.dtype.kind not in "bf":
            raise TypeError(f"attn_mask: expected booleans, or floats to add to the scores, got {mask.dtype}")
        if not _broadcasts_to(mask.shape, scores.shape):
            raise ValueError(f"attn_mask: expected a shape that broadcasts to {scores.shape}, got {mask.shape}")
        scores = where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + attn_mask
    return linalg.matmul(dropout(softmax(scores, -1), dropout_p), value)


def _broadcasts_to(shape: Shape, target: Shape) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _shared_heads(name: str, x: Any, heads: int) -> Any:
    """(…, G, K, D) as (…, H, K, D): each of the G heads serves H / G query heads in a row."""
    *batch, groups, length, width = x.shape
    if heads % groups:
        raise ValueError(f"{name}: its {groups} heads cannot serve {heads} query heads evenly")
    wide = broadcast_to(x.reshape(*batch, groups, 1, length, width), (*batch, groups, heads // groups, length, width))
    return wide.reshape(*batch, heads, length, width)
