"""Where each token stands: attention itself does not know the order of its inputs."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn


def sinusoidal(length: int, d_model: int) -> Tensor:
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos of the same: (length, d_model), float32.

    Each pair of columns is a clock hand of its own speed. A step of k positions turns every hand by a fixed angle, so
    relative positions are linear functions of the encodings.

    Source: "Attention Is All You Need", section 3.5.
    """
    position = np.arange(length)[:, None]
    frequency = 10000.0 ** (-np.arange(0, d_model, 2) / d_model)
    encoding = np.empty((length, d_model), np.float32)
    encoding[:, 0::2] = np.sin(position * frequency)
    encoding[:, 1::2] = np.cos(position * frequency)
    return mg.asarray(encoding)


class SinusoidalPositions(nn.Module):
    """Adds the encoding of each position to the embedding that stands there.

    Args:
        d_model: the width of the embeddings.
        max_length: how many positions there are.
    """

    def __init__(self, d_model: int, max_length: int) -> None:
        # An ndarray, not a tensor: it follows from the two sizes and need not be saved with the weights.
        self.table = sinusoidal(max_length, d_model).numpy()

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """(B, T, D) embeddings of the positions ``start``, ``start`` + 1, …"""
        stop = start + x.shape[1]
        if stop > len(self.table):
            raise ValueError(f"input: {stop} positions are more than the model's max_length={len(self.table)}")
        return x + self.table[start:stop]
