"""Recurrent layers over time, each as one operation: from what the input adds to every step to all states.

The input's own product is not part of them, so that it is one product for all time steps: see
:mod:`minigrad.nn.recurrent`. Shapes: T steps, B examples, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad import kernels
from minigrad.ops.elementwise import relu, sigmoid, tanh
from minigrad.ops.joining import stack
from minigrad.ops.linear import linear
from minigrad.ops.primitive import WithResiduals, primitive
from minigrad.tensor import Array

__all__ = ["gru", "lstm", "rnn"]

NONLINEARITIES: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "relu": relu}


def _last(states: Array, reverse: bool) -> Array:
    """A copy of the state that was computed last."""
    return states[0 if reverse else -1].copy()


def _over_time(step: Callable[..., Sequence[Any]], projected: Any, states: Sequence[Any], reverse: bool) -> list[Any]:
    """``states = step(projected[t], *states)`` for every t: all first states (T, B, H), and the last ones."""
    hidden = []
    for sums in reversed(list(projected)) if reverse else projected:
        states = step(sums, *states)
        hidden.append(states[0])
    return [stack(hidden[::-1] if reverse else hidden), *states]


@primitive(dtypes="floating")
def rnn(
    projected: Array, weight: Array, hidden: Array, /, nonlinearity: str = "tanh", reverse: bool = False
) -> list[Array]:
    """h' = tanh(projected + W h), or relu. Elman, "Finding structure in time", 1990.

    Args:
        projected: (T, B, H), what the input and the biases add to each step.
        weight: W (H, H).
        hidden: (B, H), before the first step.
        nonlinearity: "tanh" or "relu".
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), and the last one (B, H).
    """
    out = kernels.rnn(projected, weight, hidden, nonlinearity, reverse)
    return [out, _last(out, reverse)]


@rnn.joint_vjp
def _rnn_vjp(
    g: list[Array], weight: Array, hidden: Array, out: list[Array], nonlinearity: str, reverse: bool
) -> tuple[Array, ...]:
    return kernels.rnn_backward(*g, weight, hidden, out[0], nonlinearity, reverse)


@rnn.composed
def _rnn(projected: Any, weight: Any, hidden: Any, nonlinearity: str, reverse: bool) -> list[Any]:
    activate = NONLINEARITIES[nonlinearity]
    return _over_time(lambda x, h: [activate(x + linear(h, weight))], projected, [hidden], reverse)


@primitive(dtypes="floating")
def lstm(projected: Array, weight: Array, hidden: Array, cell: Array, /, reverse: bool = False) -> WithResiduals:
    """[i, f, g, o] = [σ, σ, tanh, σ](projected + W h), c' = f·c + i·g, h' = o·tanh(c').

    Args:
        projected: (T, B, 4·H), what the input and the biases add to each step.
        weight: W (4·H, H).
        hidden, cell: (B, H), before the first step.
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), the last one and the last cell (B, H).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; with the forget gate of Gers, Schmidhuber and
    Cummins, 2000.
    """
    out, gates, cells = kernels.lstm(projected, weight, hidden, cell, reverse)
    return WithResiduals([out, _last(out, reverse), _last(cells, reverse)], gates=gates, cells=cells)


@lstm.joint_vjp
def _lstm_vjp(
    g: list[Array],
    weight: Array,
    hidden: Array,
    cell: Array,
    out: list[Array],
    gates: Array,
    cells: Array,
    reverse: bool,
) -> tuple[Array, ...]:
    return kernels.lstm_backward(*g, weight, hidden, cell, out[0], gates, cells, reverse)


@lstm.composed
def _lstm(projected: Any, weight: Any, hidden: Any, cell: Any, reverse: bool) -> list[Any]:
    size = weight.shape[1]

    def step(x: Any, h: Any, c: Any) -> list[Any]:
        i, f, g, o = _blocks(x + linear(h, weight), size)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return [sigmoid(o) * tanh(c), c]

    return _over_time(step, projected, [hidden, cell], reverse)


@primitive(dtypes="floating")
def gru(projected: Array, weight: Array, bias: Array | None, hidden: Array, /, reverse: bool = False) -> WithResiduals:
    """With projected = [x_r, x_z, x_n] and W h + b = [m_r, m_z, m_n]: r = σ(x_r + m_r), z = σ(x_z + m_z),
    n = tanh(x_n + r·m_n), h' = (1 - z)·n + z·h.

    Args:
        projected: (T, B, 3·H), what the input adds to each step.
        weight: W (3·H, H).
        bias: b (3·H,), or None.
        hidden: (B, H), before the first step.
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), and the last one (B, H).

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; with r applied behind the
    product, which is then one for all three gates.
    """
    out, gates, candidates = kernels.gru(projected, weight, bias, hidden, reverse)
    return WithResiduals([out, _last(out, reverse)], gates=gates, candidates=candidates)


@gru.joint_vjp
def _gru_vjp(
    g: list[Array],
    weight: Array,
    hidden: Array,
    out: list[Array],
    gates: Array,
    candidates: Array,
    reverse: bool,
) -> tuple[Array, ...]:
    return kernels.gru_backward(*g, weight, hidden, out[0], gates, candidates, reverse)


@gru.composed
def _gru(projected: Any, weight: Any, bias: Any, hidden: Any, reverse: bool) -> list[Any]:
    size = weight.shape[1]

    def step(x: Any, h: Any) -> list[Any]:
        (x_r, x_z, x_n), (m_r, m_z, m_n) = _blocks(x, size), _blocks(linear(h, weight, bias), size)
        z, n = sigmoid(x_z + m_z), tanh(x_n + sigmoid(x_r + m_r) * m_n)
        return [n + z * (h - n)]

    return _over_time(step, projected, [hidden], reverse)


def _blocks(x: Any, size: int) -> list[Any]:
    """The gates side by side in the last axis."""
    return [x[..., start : start + size] for start in range(0, x.shape[-1], size)]
