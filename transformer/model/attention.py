"""Scaled dot-product and multi-head attention. "Attention Is All You Need", section 3.2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.model.cache import KeyValueCache, Paged, cached_attention, dense
from transformer.model.positions import rotate

FEW_QUERIES = 16  # reading paged keys where they stand, for one query at a time, costs less than copying them


class Visibility(NamedTuple):
    """Attention mask and bias: the keys that each query may attend to, and the bias of the scores."""

    mask: Tensor | None = None  # boolean, broadcastable to (B, H, Q, K); True means *may attend*
    causal: bool = False  # True: position q attends to positions up to q; for as many queries as keys
    bias: Tensor | None = None  # (H, Q, K), added to the scores

    def allowed(self, queries: int, keys: int) -> np.ndarray[Any, Any]:
        """Attention mask (Q, K) of the first example: True where a query may attend to a key."""
        mask = np.ones((queries, keys), np.bool_)
        if self.mask is not None:
            mask &= self.mask.numpy().reshape(-1, *self.mask.shape[-2:])[0]
        return np.tril(mask) if self.causal else mask


class ScaledDotProductAttention(nn.Module):
    """Scaled dot-product attention softmax(Q Kᵀ / √D) V. Section 3.2.1, equation 1.

    The scores of a query against all keys become weights that sum to 1; the result is the values' weighted mean.
    Without the factor 1/√D the scores of random vectors would have variance D and the softmax hardly any gradient.

    Args:
        dropout: the probability with which weights are dropped in training.
        scale: of the scores; 1/√D when None.
        softcap: bound c of the scores, which become c · tanh(scores / c) then (Gemma Team, 2024: "Gemma 2").
    """

    def __init__(self, dropout: float = 0.0, scale: float | None = None, softcap: float | None = None) -> None:
        self.dropout = dropout
        self.scale = scale
        self.softcap = softcap

    def forward(
        self, query: Tensor, key: Tensor | Paged, value: Tensor | Paged, visible: Visibility | Tensor | None = None
    ) -> Tensor:
        """Attend: queries (B, H, Q, D), keys and values (B, G, K, D) to (B, H, Q, D).

        Each of the G heads of keys and values serves H / G heads of queries. ``visible`` may be a mask alone: boolean,
        True means *may attend*. A query that may attend to nothing gets zeros. Paged keys are a cache's.
        """
        return self._attend(query, key, value, visible, self.dropout if self.training else 0.0)

    def weights(self, query: Tensor, key: Tensor | Paged, visible: Visibility | Tensor | None) -> Tensor:
        """Attention weights (B, H, Q, K), computed as the attention over unit vectors as values."""
        key = dense(key)
        *lead, keys, _ = key.shape
        units = mg.broadcast_to(mg.eye(keys, dtype=key.dtype), (*lead, keys, keys))
        return self._attend(query, key, units, visible, 0.0)

    def _attend(
        self,
        query: Tensor,
        key: Tensor | Paged,
        value: Tensor | Paged,
        visible: Visibility | Tensor | None,
        dropout: float,
    ) -> Tensor:
        mask, causal, bias = visible if isinstance(visible, Visibility) else Visibility(visible)
        if mask is not None and mask.dtype != mg.bool:
            raise TypeError(f"mask: expected booleans, True where a query may attend, got {mask.dtype}")
        if bias is not None:
            bias = bias.astype(query.dtype)
            mask = bias if mask is None else mg.where(mask, bias, -mg.inf)
        options = {"scale": self.scale, "softcap": self.softcap}
        if query.shape[2] <= FEW_QUERIES and isinstance(key, Paged) and isinstance(value, Paged):
            attended: Tensor = cached_attention(query, mask, keys=key, values=value, **options)
            return attended
        key, value = dense(key), dense(value)
        grouped = query.shape[1] != key.shape[1]
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, causal, enable_gqa=grouped, **options)


class MultiHeadAttention(nn.Module):
    """Multi-head attention: parallel attentions, each in its own projection of the inputs. Section 3.2.2.

    MultiHead(Q, K, V) = Concat(head₁, …, head_h) Wᴼ with head_i = Attention(Q Wᵢᵠ, K Wᵢᴷ, V Wᵢⱽ)

    Args:
        d_model: the width of the inputs and of the result.
        num_heads: the number of heads.
        num_kv_heads: fewer heads of keys and values, each shared by as many queries' heads: grouped-query attention
            (Ainslie et al., 2023); 1 is multi-query attention (Shazeer, 2019). None: ``num_heads``.
        d_k: the width of a head; None: ``d_model`` shared by the heads.
        bias: add a bias in the projections.
        output_bias: in that of the result; None: ``bias``.
        dropout: the probability with which attention weights are dropped in training.
        scaled: divide scores by √d_k.

    Queries and keys are normalised where ``query_norm`` and ``key_norm`` are set: head by head if these norms are as
    wide as a head (Henry et al., 2020), all heads together otherwise.
    """

    query_norm: nn.Module | None = None
    key_norm: nn.Module | None = None

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        d_k: int | None = None,
        bias: bool = True,
        output_bias: bool | None = None,
        dropout: float = 0.0,
        scaled: bool = True,
    ) -> None:
        if d_k is None and d_model % num_heads:
            raise ValueError(f"num_heads: {num_heads} heads cannot share d_model={d_model} evenly")
        self.num_heads = num_heads
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if num_heads % self.num_kv_heads:
            raise ValueError(f"num_kv_heads: {num_kv_heads} heads cannot serve num_heads={num_heads} evenly")
        self.d_k = d_model // num_heads if d_k is None else d_k
        self.query = nn.Linear(d_model, num_heads * self.d_k, bias)
        self.key = nn.Linear(d_model, self.num_kv_heads * self.d_k, bias)
        self.value = nn.Linear(d_model, self.num_kv_heads * self.d_k, bias)
        self.attend = ScaledDotProductAttention(dropout, None if scaled else 1.0)
        self.output = nn.Linear(num_heads * self.d_k, d_model, bias if output_bias is None else output_bias)

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None,
        visible: Visibility | Tensor | None = None,
        cache: KeyValueCache | None = None,
        rotation: Tensor | None = None,
    ) -> Tensor:
        """Attend from (B, Q, d_model) to the memory (B, K, d_model): the same in self-attention.

        Args:
            query: the input of the queries.
            memory: the input of keys and values; with a cache, only the positions that it does not hold, or None.
            visible: mask and bias; or the mask alone, boolean, broadcastable to (B, H, Q, K).
            cache: keys and values of earlier calls, extended here.
            rotation: of queries and keys, in self-attention: see :mod:`transformer.model.positions`.
        """
        if query.ndim != 3:
            raise ValueError(f"query: expected shape (batch, length, d_model), got {query.shape}")
        q = self._split(self.query(query), rotation, self.query_norm)
        new = None
        if memory is not None:
            new = (self._split(self.key(memory), rotation, self.key_norm), self._split(self.value(memory)))
        attended = new if cache is None else cache.extend(new)
        if attended is None:
            raise ValueError("memory: expected positions to attend to, got None without a cache")
        if not isinstance(self.attend, ScaledDotProductAttention):  # a user's own
            attended = dense(attended[0]), dense(attended[1])
        context = self.attend(q, *attended, visible)  # (B, H, Q, D)
        batch, heads, length, width = context.shape
        context = context if length == 1 else context.transpose(0, 2, 1, 3)
        return self.output(context.reshape(batch, length, heads * width))

    def _split(self, x: Tensor, rotation: Tensor | None = None, norm: Any = None) -> Tensor:
        """Split heads, (B, T, H·D) to (B, H, T, D), normalise and rotate them."""
        batch, length, width = x.shape
        if norm is not None:
            features = norm.weight.shape[0]
            x = norm(x.reshape(batch, length, width // features, features)).reshape(x.shape)
        heads = width // self.d_k
        if length == 1:  # as at each step of decoding: nothing to transpose
            x = x.reshape(batch, heads, 1, self.d_k)
        else:
            x = x.reshape(batch, length, heads, self.d_k).transpose(0, 2, 1, 3)
        return x if rotation is None else rotate(x, rotation)


def causal_mask(queries: int, keys: int | None = None, window: int | None = None) -> Tensor:
    """Causal mask (queries, keys): True where a key is not later than the query, and within the last ``window`` ones.

    The last query stands at the last key. Sliding windows: Beltagy et al., 2020.
    """
    keys = queries if keys is None else keys
    mask = np.tri(queries, keys, keys - queries, dtype=np.bool_)
    if window is not None:
        mask &= ~np.tri(queries, keys, keys - queries - window, dtype=np.bool_)
    return mg.asarray(mask)


def window_mask(length: int, window: int) -> Tensor:
    """Sliding-window mask (length, length): True where the distance is less than ``window``, to either side."""
    places = np.arange(length)
    return mg.asarray(np.abs(places[:, None] - places) < window)


def padding_mask(real: Tensor) -> Tensor:
    """Padding mask (B, 1, 1, K) for all heads and queries, from (B, K), which is True where a token is not padding."""
    return mg.reshape(real, (real.shape[0], 1, 1, real.shape[1]))


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the attention weights of every layer in a ``with`` block; otherwise they are not computed.

    Yields:
        A dict that fills up: the layer's name, such as ``decoder.layers.0.cross_attention``, to the weights
        (B, H, Q, K) of its latest call.
    """
    weights: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(attend: ScaledDotProductAttention, args: tuple[Any, ...], output: Tensor) -> None:
            query, key, _, visible = args
            with mg.no_grad():
                weights[name] = attend.weights(query, key, visible)

        return hook

    handles = [
        module.attend.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if isinstance(module, MultiHeadAttention)
    ]
    try:
        yield weights
    finally:
        for handle in handles:
            handle.remove()
