"""The plain LSTM against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from minigrad.kernels.recurrent import plain


@pytest.mark.parametrize("size", [(1, 1, 1), (4, 3, 7)])
def test_the_plain_lstm_is_its_equations(size, rng):
    steps, batch, units = size
    projected, weight = rng.standard_normal((steps, batch, 4 * units)), rng.standard_normal((4 * units, units))
    hidden, cell = rng.standard_normal((2, batch, units))
    all_hidden, all_cells = plain.lstm(projected, weight, hidden, cell)
    for t in range(steps):
        i, f, g, o = np.split(projected[t] + hidden @ weight.T, 4, axis=1)
        cell = expit(f) * cell + expit(i) * np.tanh(g)
        hidden = expit(o) * np.tanh(cell)
        np.testing.assert_allclose(all_hidden[t], hidden, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(all_cells[t], cell, rtol=1e-12, atol=1e-14)
