"""Key-value cache: keys and values of earlier positions, so that each step computes only the newest one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor

Rows = np.ndarray[Any, Any]


class KeyValueCache:
    """Key-value cache of one attention layer.

    Self-attention adds to it step by step; cross-attention fills it once, with the encoder's output. Buffers grow in
    doubling steps: n positions cost O(n) copies in all. For inference only: no gradients.
    """

    def __init__(self) -> None:
        self._buffers: tuple[np.ndarray, np.ndarray] | None = None  # (B, G, capacity, D) each
        self.length = 0

    def extend(self, new: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Append the keys and values (B, G, K, D) of new positions, if any, and return all."""
        if new is not None:
            if mg.is_grad_enabled() and any(x.requires_grad for x in new):
                raise RuntimeError("cache: gradients do not pass through it; use it under no_grad()")
            self._append([x.data for x in new])
        if self._buffers is None:
            raise ValueError("memory: expected positions to attend to, got none, and the cache is empty")
        keys, values = (mg.asarray(buffer[:, :, : self.length]) for buffer in self._buffers)
        return keys, values

    def _append(self, new: list[np.ndarray]) -> None:
        start, self.length = self.length, self.length + new[0].shape[2]
        if self._buffers is None:
            self._buffers = (new[0], new[1])  # cross-attention is filled once: no copy
            return
        if self.length > self._buffers[0].shape[2]:
            keys, values = (_enlarged(buffer[:, :, :start], 2 * self.length) for buffer in self._buffers)
            self._buffers = (keys, values)
        for buffer, array in zip(self._buffers, new, strict=True):
            buffer[:, :, start : self.length] = array

    def reorder(self, rows: Rows) -> None:
        """Reorder the batch: keep these rows, in this order, as a beam search does."""
        if self._buffers is not None:
            keys, values = (buffer[rows] for buffer in self._buffers)
            self._buffers = (keys, values)


def _enlarged(array: np.ndarray, length: int) -> np.ndarray:
    batch, heads, used, width = array.shape
    buffer = np.empty((batch, heads, length, width), array.dtype)
    buffer[:, :, :used] = array
    return buffer


class LayerCache(NamedTuple):
    """Caches of one decoder layer."""

    self_attention: KeyValueCache
    cross_attention: KeyValueCache


class DecoderCache:
    """Caches of all layers of a decoder."""

    def __init__(self, layers: int) -> None:
        self.layers = [LayerCache(KeyValueCache(), KeyValueCache()) for _ in range(layers)]

    @property
    def length(self) -> int:
        """Number of cached positions."""
        return self.layers[0].self_attention.length

    def reorder(self, rows: Rows) -> None:
        """Reorder the batch: keep these rows, in this order."""
        for layer in self.layers:
            for attention in layer:
                attention.reorder(rows)
