"""Recurrent layers over time, forward and backward: Elman's RNN, LSTM, GRU.

What a step adds up from the input is one product for all time steps and comes in as ``projected``; what it adds up from
the step before is computed in the loops of ``time_loop.py``. Backward, only the gradients of these sums are computed
step by step; the weights' gradient is again one product over all time.

Shapes: T steps, B examples, H units; gates in blocks of H along one axis.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.arguments import check_floats, check_in_place, check_shape
from minigrad.kernels.compiling.parallel import threads_for
from minigrad.kernels.compiling.vector import lanes_of
from minigrad.kernels.products.blocking import piece_entry, workspace
from minigrad.kernels.products.matmul import matmul
from minigrad.kernels.products.register_tile import TILE_VECTORS
from minigrad.kernels.recurrent.time_loop import GRU, LSTM, RELU, TANH, backward, forward
from minigrad.kernels.rowwise.reduction import sum_rows

KINDS = {"tanh": TANH, "relu": RELU}

# Multiply-adds that a gate's activation costs about as much as.
WORK = 32


def rnn(
    projected: np.ndarray, weight: np.ndarray, hidden: np.ndarray, nonlinearity: str = "tanh", reverse: bool = False
) -> np.ndarray:
    """h' = tanh(projected + W h), or relu. Elman, "Finding structure in time", 1990.

    Args:
        projected: (T, B, H), what the input and the biases add to each step, float32 or float64; C-contiguous, for
            the result takes its place.
        weight: W (H, H).
        hidden: (B, H), before the first step.
        nonlinearity: "tanh" or "relu".
        reverse: from the last time step to the first.

    Returns:
        All hidden states, (T, B, H).

    >>> rnn(np.zeros((3, 1, 1)), np.full((1, 1), 2.0), np.ones((1, 1)), "relu").ravel()
    array([2., 4., 8.])
    """
    if nonlinearity not in KINDS:
        raise ValueError(f"nonlinearity must be 'tanh' or 'relu'; got {nonlinearity!r}")
    _check(projected, weight, 1, hidden=hidden)
    check_in_place("projected", projected)
    _run(KINDS[nonlinearity], reverse, projected, weight, None, hidden, hidden, (projected,) * 3)
    return projected


def rnn_backward(
    g: np.ndarray,
    last_hidden: np.ndarray,
    weight: np.ndarray,
    hidden: np.ndarray,
    out: np.ndarray,
    nonlinearity: str = "tanh",
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``rnn``.

    Args:
        g: the gradient with respect to the result, (T, B, H).
        last_hidden: another one, with respect to the last state only, (B, H).
        out: the result.

    Returns:
        The gradients of projected, weight and hidden.
    """
    _check_gradients(out, g=g, last_hidden=last_hidden)
    sums, dhidden = np.empty_like(out), np.array(last_hidden, order="C")
    states = (hidden, hidden, out, out, out)
    _run_back(KINDS[nonlinearity], reverse, g, weight, states, (dhidden, dhidden, sums, sums))
    return sums, _weight_gradient(sums, out, hidden, reverse), dhidden


def lstm(
    projected: np.ndarray, weight: np.ndarray, hidden: np.ndarray, cell: np.ndarray, reverse: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[i, f, g, o] = [σ, σ, tanh, σ](projected + W h), c' = f·c + i·g, h' = o·tanh(c').

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997; with the forget gate of Gers, Schmidhuber and
    Cummins, 2000.

    Args:
        projected: (T, B, 4·H), what the input and the biases add to each step, float32 or float64; C-contiguous, for
            the gates take its place.
        weight: W (4·H, H).
        hidden, cell: (B, H), before the first step.
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), and for the backward pass all gates (T, B, 4·H) and all cells (T, B, H).

    >>> out, _, cells = lstm(np.zeros((2, 1, 4)), np.zeros((4, 1)), np.zeros((1, 1)), np.ones((1, 1)))
    >>> cells.ravel()
    array([0.5 , 0.25])
    """
    _check(projected, weight, 4, hidden=hidden, cell=cell)
    check_in_place("projected", projected)
    out, cells = (np.empty((len(projected), *hidden.shape), hidden.dtype) for _ in range(2))
    _run(LSTM, reverse, projected, weight, None, hidden, cell, (out, projected, cells))
    return out, projected, cells


def lstm_backward(
    g: np.ndarray,
    last_hidden: np.ndarray,
    last_cell: np.ndarray,
    weight: np.ndarray,
    hidden: np.ndarray,
    cell: np.ndarray,
    out: np.ndarray,
    gates: np.ndarray,
    cells: np.ndarray,
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``lstm``.

    Args:
        g: the gradient with respect to all hidden states, (T, B, H).
        last_hidden, last_cell: others, with respect to the last hidden state and the last cell only, (B, H).
        out, gates, cells: what ``lstm`` gave.

    Returns:
        The gradients of projected, weight, hidden and cell.
    """
    _check_gradients(out, g=g, last_hidden=last_hidden, last_cell=last_cell)
    sums, dhidden, dcell = np.empty_like(gates), np.array(last_hidden, order="C"), np.array(last_cell, order="C")
    _run_back(LSTM, reverse, g, weight, (hidden, cell, out, gates, cells), (dhidden, dcell, sums, sums))
    return sums, _weight_gradient(sums, out, hidden, reverse), dhidden, dcell


def gru(
    projected: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, hidden: np.ndarray, reverse: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With projected = [x_r, x_z, x_n] and W h + b = [m_r, m_z, m_n]: r = σ(x_r + m_r), z = σ(x_z + m_z),
    n = tanh(x_n + r·m_n), h' = (1 - z)·n + z·h.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014; r applied behind the product.

    Args:
        projected: (T, B, 3·H), what the input adds to each step, float32 or float64.
        weight: W (3·H, H).
        bias: b (3·H,), or None.
        hidden: (B, H), before the first step.
        reverse: from the last time step to the first.

    Returns:
        All hidden states (T, B, H), and for the backward pass all gates r, z, n (T, B, 3·H) and all m_n (T, B, H).

    >>> out, _, _ = gru(np.zeros((2, 1, 3)), np.zeros((3, 1)), None, np.ones((1, 1)))
    >>> out.ravel()
    array([0.5 , 0.25])
    """
    _check(projected, weight, 3, hidden=hidden)
    if bias is not None:
        check_floats(projected=projected, bias=bias)
        check_shape("bias", bias, (len(weight),))
    out, candidates = (np.empty((len(projected), *hidden.shape), hidden.dtype) for _ in range(2))
    gates = np.empty(projected.shape, hidden.dtype)
    _run(GRU, reverse, projected, weight, bias, hidden, hidden, (out, gates, candidates))
    return out, gates, candidates


def gru_backward(
    g: np.ndarray,
    last_hidden: np.ndarray,
    weight: np.ndarray,
    hidden: np.ndarray,
    out: np.ndarray,
    gates: np.ndarray,
    candidates: np.ndarray,
    reverse: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``gru``; see ``lstm_backward``.

    Returns:
        The gradients of projected, weight, bias and hidden.
    """
    _check_gradients(out, g=g, last_hidden=last_hidden)
    projected, sums, dhidden = np.empty_like(gates), np.empty_like(gates), np.array(last_hidden, order="C")
    states = (hidden, hidden, out, gates, candidates)
    _run_back(GRU, reverse, g, weight, states, (dhidden, dhidden, projected, sums))
    return projected, _weight_gradient(sums, out, hidden, reverse), sum_rows(_rows(sums)), dhidden


def _run(
    kind: int,
    reverse: bool,
    projected: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    hidden: np.ndarray,
    memory: np.ndarray,
    results: tuple[np.ndarray, ...],
) -> None:
    """Forward pass over time; see ``time_loop.forward``."""
    bias = np.zeros(len(weight), weight.dtype) if bias is None else bias
    given = (np.ascontiguousarray(array) for array in (projected, weight, bias, hidden, memory))
    if results[0].size:
        panels, product, parts = _resources(projected, weight)
        forward(kind, reverse, *given, *results, panels, product, parts)


def _run_back(
    kind: int,
    reverse: bool,
    g: np.ndarray,
    weight: np.ndarray,
    states: tuple[np.ndarray, ...],
    gradients: tuple[np.ndarray, ...],
) -> None:
    """Backpropagation through time; see ``time_loop.backward``."""
    given = (np.ascontiguousarray(array) for array in (g, weight, *states))
    if g.size:
        panels, product, parts = _resources(gradients[-1], weight)
        backward(kind, reverse, *given, *gradients, panels, product, parts)


def _resources(sums: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, int], int]:
    """Buffer for packed weights, a product's workspace and entry, and the number of threads."""
    dtype = sums.dtype
    parts = min(threads_for(sums.size * (weight.shape[1] + WORK)), sums.shape[1])
    panels = np.empty(weight.size + TILE_VECTORS * lanes_of(dtype) * max(weight.shape), dtype)
    return panels, (workspace(dtype), piece_entry(dtype)), parts


def _check(projected: np.ndarray, weight: np.ndarray, gates: int, **states: np.ndarray) -> None:
    """Shapes (T, B, gates·H), (gates·H, H) and (B, H)."""
    check_floats(projected=projected, weight=weight, **states)
    if projected.ndim != 3 or not len(projected) or projected.shape[2] % gates:
        raise ValueError(f"projected must have shape (T, B, {gates}·H) with T > 0; got {projected.shape}")
    batch, sums = projected.shape[1:]
    check_shape("weight", weight, (sums, sums // gates))
    for name, state in states.items():
        check_shape(name, state, (batch, sums // gates))


def _check_gradients(out: np.ndarray, g: np.ndarray, **last: np.ndarray) -> None:
    check_floats(out=out, g=g, **last)
    check_shape("g", g, out.shape)
    for name, gradient in last.items():
        check_shape(name, gradient, out.shape[1:])


def _weight_gradient(sums: np.ndarray, out: np.ndarray, hidden: np.ndarray, reverse: bool) -> np.ndarray:
    """Gradient of the recurrent weights: Σ over time and examples of each sum's gradient times the earlier state."""
    start, later, earlier = (sums[-1], sums[:-1], out[1:]) if reverse else (sums[0], sums[1:], out[:-1])
    gradient = matmul(_rows(later).T, _rows(earlier))
    gradient += matmul(start.T, hidden)
    return gradient


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, x.shape[-1])
