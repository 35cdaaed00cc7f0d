"""Recurrent operations over time. Shapes: T steps, B examples, I inputs, H units.

The input projection is one product for all steps, as are the gradients of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.nn.functional.linear import linear
from minigrad.ops.elementwise import add, multiply, relu, sigmoid, subtract, tanh
from minigrad.ops.joining import stack
from minigrad.ops.primitive import WithResiduals, primitive

__all__ = ["gru", "lstm", "rnn"]

NONLINEARITIES: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "relu": relu}


def _last(states: Array, reverse: bool) -> Array:
    """A copy of the state that was computed last."""
    return states[0 if reverse else -1].copy()


def _projected(x: Array, weight: Array, bias: Array | None) -> Array:
    """Input projection of each step, (T, B, rows of the weight)."""
    return kernels.matmul(_rows(x), weight.T, bias=bias).reshape(*x.shape[:2], len(weight))


def _projection_gradients(g: Array, x: Array, weight: Array, needs: tuple[bool, ...]) -> list[Array | None]:
    """Gradients of x, weight and bias from those of the input projection."""
    rows = _rows(g)
    return [
        kernels.matmul(rows, weight).reshape(x.shape) if needs[0] else None,
        kernels.matmul(rows.T, _rows(x)),
        kernels.sum_rows(rows),
    ]


def _rows(x: Array) -> Array:
    """(T, B, n) as (T·B, n)."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _over_time(step: Callable[..., Sequence[Any]], inputs: Any, states: Sequence[Any], reverse: bool) -> list[Any]:
    """``states = step(inputs[t], *states)`` for every t: all first states (T, B, H), and the last ones."""
    hidden = []
    for x in reversed(list(inputs)) if reverse else inputs:
        states = step(x, *states)
        hidden.append(states[0])
    return [stack(hidden[::-1] if reverse else hidden), *states]


@primitive(dtypes="floating")
def rnn(
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    bias: Array | None,
    hidden: Array,
    /,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> list[Array]:
    """Simple recurrent network: h' = tanh(W x + b + W' h), or relu. Elman, "Finding structure in time", 1990.

    Args:
        x: (T, B, I).
        weight, recurrent_weight, bias: W (H, I), W' (H, H), and b (H,) or None.
        hidden: (B, H), before the first step.
        nonlinearity: "tanh" or "relu".
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), and the last one (B, H).
    """
    out = kernels.rnn(_projected(x, weight, bias), recurrent_weight, hidden, nonlinearity, reverse)
    return [out, _last(out, reverse)]


@rnn.joint_vjp
def _rnn_vjp(
    g: list[Array],
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    hidden: Array,
    out: list[Array],
    needs: tuple[bool, ...],
    nonlinearity: str,
    reverse: bool,
) -> list[Array | None]:
    sums, dweight, dhidden = kernels.rnn_backward(*g, recurrent_weight, hidden, out[0], nonlinearity, reverse)
    dx, dinput_weight, dbias = _projection_gradients(sums, x, weight, needs)
    return [dx, dinput_weight, dweight, dbias, dhidden]


@rnn.composed
def _rnn(
    x: Any, weight: Any, recurrent_weight: Any, bias: Any, hidden: Any, nonlinearity: str, reverse: bool
) -> list[Any]:
    activate, inputs = NONLINEARITIES[nonlinearity], linear(x, weight, bias)
    return _over_time(lambda s, h: [activate(s + linear(h, recurrent_weight))], inputs, [hidden], reverse)


@primitive(dtypes="floating")
def lstm(
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    bias: Array | None,
    hidden: Array,
    cell: Array,
    /,
    reverse: bool = False,
) -> WithResiduals:
    """Long short-term memory: [i, f, g, o] = [σ, σ, tanh, σ](W x + b + W' h), c' = f·c + i·g, h' = o·tanh(c').

    Args:
        x: (T, B, I).
        weight, recurrent_weight, bias: W (4·H, I), W' (4·H, H), and b (4·H,) or None.
        hidden, cell: (B, H), before the first step.
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), the last one and the last cell (B, H).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; with the forget gate of Gers, Schmidhuber and
    Cummins, 2000.
    """
    out, gates, cells = kernels.lstm(_projected(x, weight, bias), recurrent_weight, hidden, cell, reverse)
    return WithResiduals([out, _last(out, reverse), _last(cells, reverse)], gates=gates, cells=cells)


@lstm.joint_vjp
def _lstm_vjp(
    g: list[Array],
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    hidden: Array,
    cell: Array,
    out: list[Array],
    gates: Array,
    cells: Array,
    needs: tuple[bool, ...],
    reverse: bool,
) -> list[Array | None]:
    states = hidden, cell, out[0], gates, cells
    sums, dweight, dhidden, dcell = kernels.lstm_backward(*g, recurrent_weight, *states, reverse)
    dx, dinput_weight, dbias = _projection_gradients(sums, x, weight, needs)
    return [dx, dinput_weight, dweight, dbias, dhidden, dcell]


@lstm.composed
def _lstm(x: Any, weight: Any, recurrent_weight: Any, bias: Any, hidden: Any, cell: Any, reverse: bool) -> list[Any]:
    size = recurrent_weight.shape[1]

    def step(s: Any, h: Any, c: Any) -> list[Any]:
        i, f, g, o = _blocks(s + linear(h, recurrent_weight), size)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return [sigmoid(o) * tanh(c), c]

    return _over_time(step, linear(x, weight, bias), [hidden, cell], reverse)


@primitive(dtypes="floating")
def gru(
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    bias: Array | None,
    recurrent_bias: Array | None,
    hidden: Array,
    /,
    reverse: bool = False,
) -> WithResiduals:
    """Gated recurrent unit: r = σ(x_r + m_r), z = σ(x_z + m_z), n = tanh(x_n + r·m_n), h' = (1 - z)·n + z·h,
    with [x_r, x_z, x_n] = W x + b and [m_r, m_z, m_n] = W' h + b'.

    Args:
        x: (T, B, I).
        weight, recurrent_weight: W (3·H, I) and W' (3·H, H).
        bias, recurrent_bias: b and b' (3·H,), or None.
        hidden: (B, H), before the first step.
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), and the last one (B, H).

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; with r applied behind the
    product, which is then one for all three gates.
    """
    projected = _projected(x, weight, bias)
    out, gates, candidates = kernels.gru(projected, recurrent_weight, recurrent_bias, hidden, reverse)
    return WithResiduals([out, _last(out, reverse)], gates=gates, candidates=candidates)


@gru.joint_vjp
def _gru_vjp(
    g: list[Array],
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    hidden: Array,
    out: list[Array],
    gates: Array,
    candidates: Array,
    needs: tuple[bool, ...],
    reverse: bool,
) -> list[Array | None]:
    states = hidden, out[0], gates, candidates
    sums, dweight, drecurrent_bias, dhidden = kernels.gru_backward(*g, recurrent_weight, *states, reverse)
    dx, dinput_weight, dbias = _projection_gradients(sums, x, weight, needs)
    return [dx, dinput_weight, dweight, dbias, drecurrent_bias, dhidden]


@gru.composed
def _gru(
    x: Any, weight: Any, recurrent_weight: Any, bias: Any, recurrent_bias: Any, hidden: Any, reverse: bool
) -> list[Any]:
    size = recurrent_weight.shape[1]

    def step(s: Any, h: Any) -> list[Any]:
        x_r, x_z, x_n = _blocks(s, size)
        m_r, m_z, m_n = _blocks(linear(h, recurrent_weight, recurrent_bias), size)
        z, n = sigmoid(x_z + m_z), tanh(x_n + sigmoid(x_r + m_r) * m_n)
        return [add(n, multiply(z, subtract(h, n)))]  # any of them may be an array

    return _over_time(step, linear(x, weight, bias), [hidden], reverse)


def _blocks(x: Any, size: int) -> list[Any]:
    """The gates side by side in the last axis."""
    return [x[..., start : start + size] for start in range(0, x.shape[-1], size)]
