"""Key-value cache: keys and values of earlier positions, so that each step computes only the newest one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, kernels
from minigrad.engine.primitive import primitive

Rows = np.ndarray[Any, Any]
ROOM = 32  # positions for which a store that grows has room at least


class Slots:
    """Slot table: where in the stores of keys and values each text's positions stand. Layers share it.

    Attributes:
        positions: of a text, for which there is room at once.
        slots: of all texts, for which the stores have room at once.
    """

    def __init__(self) -> None:
        self.positions = self.slots = 0
        self.used = 0
        self._table = np.empty((0, 0), np.int64)  # (B, room), of which the first ``length`` positions are used
        self.length = 0

    @property
    def table(self) -> np.ndarray[Any, Any]:
        """(B, length): the slot of each position."""
        return self._table[:, : self.length]

    def extend(self, batch: int, length: int) -> None:
        """Slots of so many new positions of each text."""
        wanted = self.length + length
        if not self.length:
            self._table = np.empty((batch, max(self.positions, wanted)), np.int64)
        elif wanted > self._table.shape[1]:
            table = np.empty((batch, max(2 * self.length, wanted, ROOM)), np.int64)
            table[:, : self.length] = self.table
            self._table = table
        new = np.arange(self.used, self.used + batch * length).reshape(batch, length)
        self._table[:, self.length : wanted] = new
        self.used, self.length = self.used + batch * length, wanted

    def reorder(self, rows: Rows) -> None:
        """Reorder the batch: keep these rows, in this order."""
        if self.length:
            self._table = self._table[rows]


class Paged(NamedTuple):
    """Keys or values (B, G, K, D) whose positions stand in the slots of a store that rows may share."""

    store: np.ndarray[Any, Any]  # (slots, G, D), floats or bfloat16 as the uint16 of its bits
    table: np.ndarray[Any, Any]  # (B, K), the slot of each position
    cache: KeyValueCache | None = None  # that holds them


def dense(x: Tensor | Paged) -> Tensor:
    """Keys or values (B, G, K, D) as a tensor, copied together where they are paged."""
    if isinstance(x, Tensor):
        return x
    rows = x.store[x.table].transpose(0, 2, 1, 3)
    return mg.asarray(kernels.from_bfloat16(rows) if rows.dtype == np.uint16 else rows)


class KeyValueCache:
    """Key-value cache of one attention layer.

    Self-attention adds to it step by step; cross-attention fills it once, with the encoder's output. What was added
    stays where it is: rows are reordered, repeated and dropped in a table of slots alone. The store has the room that
    the table was made for, and grows in doubling steps beyond. For inference only: no gradients.

    Args:
        format: "bfloat16" stores the nearest bfloat16 of float32 keys and values; anything else, them as they are.
        slots: of all layers of a decoder.
    """

    def __init__(self, format: str | None = None, slots: Slots | None = None) -> None:
        self._rounds = format == "bfloat16"
        self.slots = Slots() if slots is None else slots
        self.stores: list[np.ndarray] = []  # of keys and of values, (slots, G, D) each
        self.length = 0  # of the positions in the stores

    def extend(self, new: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | tuple[Paged, Paged]:
        """Append the keys and values (B, G, K, D) of new positions, if any, and return all: the first as they are."""
        first = not self.length
        if new is not None:
            if mg.is_grad_enabled() and any(x.requires_grad for x in new):
                raise RuntimeError("cache: gradients do not pass through it; use it under no_grad()")
            cached(*new, cache=self)
        if not self.length:
            raise ValueError("memory: expected positions to attend to, got none, and the cache is empty")
        if first and new is not None:
            return new
        keys, values = (Paged(store[: self.slots.used], self.slots.table, self) for store in self.stores)
        return keys, values

    def append(self, keys: np.ndarray, values: np.ndarray) -> None:
        """Append the keys and values (B, G, K, D) of new positions."""
        batch, _, length, _ = keys.shape
        if not self.stores:
            rounded = self._rounds and keys.dtype == np.float32
            dtype = np.dtype(np.uint16) if rounded else keys.dtype
            self.stores = [np.empty((0, x.shape[1], x.shape[3]), dtype) for x in (keys, values)]
        self.reserve(batch, length)
        slots = self.slots.table[:, self.length - length : self.length]
        start = int(slots[0, 0])
        for store, x in zip(self.stores, (keys, values), strict=True):
            rows = x.transpose(0, 2, 1, 3).reshape(batch * length, *store.shape[1:])
            store[start : start + batch * length] = kernels.to_bfloat16(rows) if store.dtype == np.uint16 else rows

    def reserve(self, batch: int, length: int) -> None:
        """Make room for so many new positions of each text, to be written."""
        self.length += length
        if self.slots.length < self.length:  # the first layer of a decoder
            self.slots.extend(batch, length)
        if self.slots.used > len(self.stores[0]):
            wanted = max(self.slots.used, self.slots.slots)
            if len(self.stores[0]):
                wanted = max(2 * self.slots.used, self.slots.used + ROOM * batch)
            self.stores = [_enlarged(store, wanted) for store in self.stores]

    def reorder(self, rows: Rows) -> None:
        """Reorder the batch: keep these rows, in this order, as a beam search does."""
        self.slots.reorder(rows)


@primitive
def cached(keys: np.ndarray, values: np.ndarray, /, cache: Any) -> tuple[np.ndarray, np.ndarray]:
    """Append keys and values to a cache, as an operation that is seen by observers of these; returns them."""
    cache.append(keys, values)
    return keys, values


@primitive
def cached_attention(
    query: np.ndarray,
    mask: np.ndarray | None,
    /,
    keys: Any,
    values: Any,
    scale: float | None,
    softcap: float | None,
) -> np.ndarray:
    """Attention of queries (B, H, Q, D) to paged keys and values: (B, H, Q, E); see ``kernels.paged_attention``."""
    table = np.ascontiguousarray(keys.table)
    return kernels.paged_attention(query, keys.store, values.store, table, mask, scale=scale, softcap=softcap)


def _enlarged(store: np.ndarray, slots: int) -> np.ndarray:
    larger = np.empty((slots, *store.shape[1:]), store.dtype)
    larger[: len(store)] = store
    return larger


class LayerCache(NamedTuple):
    """Caches of one decoder layer."""

    self_attention: KeyValueCache
    cross_attention: KeyValueCache


class DecoderCache:
    """Caches of all layers of a decoder, which store keys and values in a format: see :class:`KeyValueCache`.

    Args:
        layers: the number of layers.
        format: of the stores.
    """

    def __init__(self, layers: int, format: str | None = None) -> None:
        self.own, self.cross = Slots(), Slots()
        self.layers = [
            LayerCache(KeyValueCache(format, self.own), KeyValueCache(format, self.cross)) for _ in range(layers)
        ]

    @property
    def length(self) -> int:
        """Number of cached positions."""
        return self.layers[0].self_attention.length

    def reorder(self, rows: Rows) -> None:
        """Reorder the batch: keep these rows, in this order."""
        self.own.reorder(rows)
        self.cross.reorder(rows)
