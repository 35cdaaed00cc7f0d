"""Path length: gradients vanish where they must pass every step, and do not where there is a shorter path."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.nn import functional as F
from transformer.examples.path_length import MODELS, gradients, recurrent


def share(name: str, distance: int) -> float:
    norms = gradients(MODELS[name](), distance + 1)
    return float(norms[0] / norms[-1])


def test_a_gradient_reaches_distant_inputs_through_attention_only() -> None:
    for name in ("RNN", "LSTM", "GRU"):
        assert share(name, 100) < 1e-6
    for name in ("RNN + attention", "LSTM + attention", "Transformer"):
        assert share(name, 100) > 1e-4


def test_the_gradient_of_a_linear_recurrence_is_the_power_of_its_matrix() -> None:
    model = recurrent("RNN")
    model.layers.weight_hh_l0.data[...] = 0.5 * np.eye(64)
    for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
        getattr(model.layers, name).data *= 1e-3  # so small that tanh is the identity
    norms = gradients(model, 8)
    np.testing.assert_allclose(norms[::-1], norms[-1] * 0.5 ** np.arange(8), rtol=1e-4)


def test_attention_over_states_is_causal() -> None:
    mg.manual_seed(0)
    model = MODELS["RNN + attention"]().eval()
    ids = mg.random.randint(0, 10, (1, 6))
    with mg.no_grad():
        whole, part = (F.softmax(model(ids[:, :length])).numpy() for length in (6, 4))
    np.testing.assert_allclose(whole[:, :4], part, atol=1e-6)
