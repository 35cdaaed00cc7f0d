"""Key-value cache: keys and values of earlier positions, so that each step computes only the newest one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, kernels

Rows = np.ndarray[Any, Any]
ROOM = 32  # positions for which a store that grows has room at least


class Paged(NamedTuple):
    """Keys or values (B, G, K, D) whose positions stand in the slots of a store that rows may share."""

    store: np.ndarray[Any, Any]  # (slots, G, D), floats or bfloat16 as the uint16 of its bits
    table: np.ndarray[Any, Any]  # (B, K), the slot of each position


def dense(x: Tensor | Paged) -> Tensor:
    """Keys or values (B, G, K, D) as a tensor, copied together where they are paged."""
    if isinstance(x, Tensor):
        return x
    rows = x.store[x.table].transpose(0, 2, 1, 3)
    return mg.asarray(kernels.from_bfloat16(rows) if rows.dtype == np.uint16 else rows)


class KeyValueCache:
    """Key-value cache of one attention layer.

    Self-attention adds to it step by step; cross-attention fills it once, with the encoder's output. What was added
    stays where it is: rows are reordered, repeated and dropped in a table of slots alone. The store grows in doubling
    steps: n positions cost O(n) copies in all. For inference only: no gradients.

    Args:
        format: "bfloat16" stores the nearest bfloat16 of float32 keys and values; anything else, them as they are.
    """

    def __init__(self, format: str | None = None) -> None:
        self._rounds = format == "bfloat16"
        self._stores: list[np.ndarray] = []  # of keys and of values, (slots, G, D) each
        self._table = np.empty((0, 0), np.int64)  # (B, length)
        self._used = 0  # slots

    @property
    def length(self) -> int:
        """Number of cached positions."""
        return self._table.shape[1]

    def extend(self, new: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | tuple[Paged, Paged]:
        """Append the keys and values (B, G, K, D) of new positions, if any, and return all: the first as they are."""
        first = not self.length
        if new is not None:
            if mg.is_grad_enabled() and any(x.requires_grad for x in new):
                raise RuntimeError("cache: gradients do not pass through it; use it under no_grad()")
            rounds = self._rounds and new[0].dtype == mg.float32
            self._append([kernels.to_bfloat16(x.data) if rounds else x.data for x in new])
        if not self.length:
            raise ValueError("memory: expected positions to attend to, got none, and the cache is empty")
        if first and new is not None:
            return new
        keys, values = (Paged(store[: self._used], self._table) for store in self._stores)
        return keys, values

    def _append(self, new: list[np.ndarray]) -> None:
        batch, _, length, _ = new[0].shape
        start, self._used = self._used, self._used + batch * length
        slots = np.arange(start, self._used).reshape(batch, length)
        self._table = np.concatenate([self._table, slots], axis=1) if start else slots
        if not start:
            self._stores = [np.empty((0, x.shape[1], x.shape[3]), x.dtype) for x in new]
        if self._used > len(self._stores[0]):
            room = max(self._used, ROOM * batch) if start else 0
            self._stores = [_enlarged(store[:start], self._used + room) for store in self._stores]
        for store, x in zip(self._stores, new, strict=True):
            store[start : self._used].reshape(batch, length, *store.shape[1:])[...] = x.transpose(0, 2, 1, 3)

    def reorder(self, rows: Rows) -> None:
        """Reorder the batch: keep these rows, in this order, as a beam search does."""
        if self.length:
            self._table = self._table[rows]


def _enlarged(store: np.ndarray, slots: int) -> np.ndarray:
    larger = np.empty((slots, *store.shape[1:]), store.dtype)
    larger[: len(store)] = store
    return larger


class LayerCache(NamedTuple):
    """Caches of one decoder layer."""

    self_attention: KeyValueCache
    cross_attention: KeyValueCache


class DecoderCache:
    """Caches of all layers of a decoder, which store keys and values in a format: see :class:`KeyValueCache`."""

    def __init__(self, layers: int, format: str | None = None) -> None:
        self.layers = [LayerCache(KeyValueCache(format), KeyValueCache(format)) for _ in range(layers)]

    @property
    def length(self) -> int:
        """Number of cached positions."""
        return self.layers[0].self_attention.length

    def reorder(self, rows: Rows) -> None:
        """Reorder the batch: keep these rows, in this order."""
        for layer in self.layers:
            for attention in layer:
                attention.reorder(rows)
