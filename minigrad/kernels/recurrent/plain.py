"""LSTM in its plain form: one step, example and unit after the other, the oracle of the fast one's tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def lstm(projected, weight, hidden, cell):
    """c' = f · c + i · g and h' = o · tanh(c'), where i, f, g, o = σ, σ, tanh, σ of projected + W h.

    Hochreiter and Schmidhuber, "Long short-term memory", 1997; the forget gate by Gers, Schmidhuber and Cummins, 2000.

    Args:
        projected: (T, B, 4·H), what the input adds to each step.
        weight: W (4·H, H).
        hidden, cell: (B, H), before the first step.

    Returns:
        All hidden states and all cells, (T, B, H).
    """
    steps, batch = projected.shape[:2]
    units = hidden.shape[1]
    all_hidden = np.empty((steps, batch, units), projected.dtype)
    all_cells = np.empty((steps, batch, units), projected.dtype)
    for t in range(steps):
        h, c = (all_hidden[t - 1], all_cells[t - 1]) if t > 0 else (hidden, cell)
        for b in range(batch):
            sums = projected[t, b].copy()
            for row in range(4 * units):
                for j in range(units):
                    sums[row] += weight[row, j] * h[b, j]
            for j in range(units):
                i, f, o = _sigmoid(sums[j]), _sigmoid(sums[units + j]), _sigmoid(sums[3 * units + j])
                g = math.tanh(sums[2 * units + j])
                all_cells[t, b, j] = f * c[b, j] + i * g
                all_hidden[t, b, j] = o * math.tanh(all_cells[t, b, j])
    return all_hidden, all_cells


@kernel()
def _sigmoid(x):
    return 1 / (1 + math.exp(-x))
