"""Attention: every position gathers what it needs from every other. "Attention Is All You Need", section 3.2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn


class KeyValueCache:
    """The keys and values of the positions that one attention layer has already seen.

    Self-attention adds to it step by step; cross-attention fills it once, with the encoder's output.
    """

    def __init__(self) -> None:
        self.held: tuple[Tensor, Tensor] | None = None  # keys and values, (B, H, K, D) each

    def extend(self, new: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new positions at the end, if there are any, and return all."""
        if self.held is None:
            self.held = new
        elif new is not None:
            self.held = (mg.concat([self.held[0], new[0]], axis=2), mg.concat([self.held[1], new[1]], axis=2))
        if self.held is None:
            raise ValueError("memory: expected positions to attend to, got none, and the cache is empty")
        return self.held

    def reorder(self, rows: np.ndarray[Any, Any]) -> None:
        """Keep these rows of the batch, in this order: how a beam search follows its hypotheses."""
        if self.held is not None:
            self.held = (self.held[0][rows], self.held[1][rows])


class ScaledDotProductAttention(nn.Module):
    """Attention(Q, K, V) = softmax(Q Kᵀ / √D) V. Section 3.2.1, equation 1.

    The scores of a query against all keys become weights that sum to 1; the result is the values' weighted mean.
    Without the factor 1/√D the scores of random vectors would have variance D and the softmax hardly any gradient.
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """(B, H, Q, D), (B, H, K, D) and (B, H, K, D) give (B, H, Q, D).

        ``mask`` is boolean and broadcasts to (B, H, Q, K); True means *may attend*.
        """
        if mask is not None and mask.dtype != mg.bool:
            raise TypeError(f"mask: expected booleans, True where a query may attend, got {mask.dtype}")
        return nn.functional.scaled_dot_product_attention(query, key, value, mask)

    def weights(self, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        """(B, H, Q, K): what the queries attend to. The mean of unit vectors, one for each key, is their weights."""
        return self.forward(query, key, mg.eye(key.shape[-2], dtype=key.dtype), mask)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in its own projection of the inputs. Section 3.2.2.

    MultiHead(Q, K, V) = Concat(head₁, …, head_h) Wᴼ with head_i = Attention(Q Wᵢᵠ, K Wᵢᴷ, V Wᵢⱽ)

    Args:
        d_model: the width of the inputs and of the result.
        num_heads: how many heads share that width.
    """

    def __init__(self, d_model: int, num_heads: int) -> None:
        if d_model % num_heads:
            raise ValueError(f"num_heads: {num_heads} heads cannot share d_model={d_model} evenly")
        self.num_heads = num_heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)
        self.attend = ScaledDotProductAttention()
        self.output = nn.Linear(d_model, d_model)

    def forward(
        self, query: Tensor, memory: Tensor | None, mask: Tensor | None = None, cache: KeyValueCache | None = None
    ) -> Tensor:
        """Let (B, Q, d_model) attend to the memory (B, K, d_model): itself in self-attention.

        Args:
            query: the positions that ask.
            memory: the positions that are asked; with a cache, only those that it does not hold yet, or None.
            mask: boolean, broadcastable to (B, H, Q, K); True means *may attend*.
            cache: keys and values of earlier calls, extended here.
        """
        if query.ndim != 3:
            raise ValueError(f"query: expected shape (batch, length, d_model), got {query.shape}")
        q = self._split(self.query(query))
        new = None if memory is None else (self._split(self.key(memory)), self._split(self.value(memory)))
        k, v = (cache or KeyValueCache()).extend(new)
        context = self.attend(q, k, v, mask)  # (B, H, Q, D)
        return self.output(context.transpose(0, 2, 1, 3).reshape(query.shape))

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, H·D) to (B, H, T, D)."""
        batch, length, width = x.shape
        return x.reshape(batch, length, self.num_heads, width // self.num_heads).transpose(0, 2, 1, 3)


def causal_mask(queries: int, keys: int | None = None) -> Tensor:
    """(queries, keys), True where a key is not later than the query; the last query sits at the last key."""
    keys = queries if keys is None else keys
    return mg.asarray(np.tri(queries, keys, keys - queries, dtype=np.bool_))


def padding_mask(ids: np.ndarray[Any, Any], pad_id: int) -> Tensor:
    """(B, 1, 1, K), True where the token (B, K) is not padding: for all heads and all queries."""
    return mg.asarray((ids != pad_id)[:, None, None, :])


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the attention weights of every layer while the block runs; otherwise nobody computes them.

    Yields:
        A dict that fills up: the layer's name, such as ``decoder.layers.0.cross_attention``, to the weights
        (B, H, Q, K) of its latest call.
    """
    weights: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(attend: ScaledDotProductAttention, args: tuple[Any, ...], output: Tensor) -> None:
            query, key, _, mask = args
            with mg.no_grad():
                weights[name] = attend.weights(query, key, mask)

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
