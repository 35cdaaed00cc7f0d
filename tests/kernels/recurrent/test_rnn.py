"""Recurrent layers against the same recurrence, the LSTM's as plain loops and the others' in NumPy; and their
gradients against difference quotients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from minigrad import kernels
from minigrad.kernels.recurrent import plain

GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}
SIZES = [(1, 1, 1), (3, 2, 5), (2, 13, 16), (4, 3, 37), (2, 70, 9), (2, 5, 130)]  # steps, examples, units


def arguments(kind, size, dtype, rng):
    """Projected, weight and the states; for a GRU a bias before them."""
    steps, batch, units = size
    rows = GATES[kind] * units
    shapes = [(steps, batch, rows), (rows, units), *[(rows,)] * (kind == "gru"), (batch, units)]
    arrays = [rng.standard_normal(shape) for shape in (*shapes, *[(batch, units)] * (kind == "lstm"))]
    arrays[1] /= np.sqrt(units)
    return [array.astype(dtype) for array in arrays]


def forward(kind, arrays, reverse=False):
    """Results of the kernel: all hidden states, then the inputs of its backward pass."""
    arrays = [arrays[0].copy(), *arrays[1:]]
    if kind == "lstm":
        return kernels.lstm(*arrays, reverse)
    if kind == "gru":
        return kernels.gru(*arrays, reverse)
    return (kernels.rnn(*arrays, kind, reverse),)


def backward(kind, g, lasts, arrays, results, reverse=False):
    weight, states = arrays[1], arrays[3 if kind == "gru" else 2 :]
    if kind == "lstm":
        return kernels.lstm_backward(g, *lasts, weight, *states, *results, reverse)
    if kind == "gru":
        return kernels.gru_backward(g, *lasts, weight, *states, *results, reverse)
    return kernels.rnn_backward(g, *lasts, weight, *states, *results, kind, reverse)


def step(kind, x, weight, *rest):
    """One step: the next states, the hidden one first."""
    if kind == "lstm":
        given = (np.array(array, np.float64, order="C") for array in (x[None], weight, *rest))
        return tuple(states[0] for states in plain.lstm(*given))
    if kind == "gru":
        bias, h = rest
        (x_r, x_z, x_n), (m_r, m_z, m_n) = np.split(x, 3, axis=1), np.split(h @ weight.T + bias, 3, axis=1)
        z = expit(x_z + m_z)
        return bias, (1 - z) * np.tanh(x_n + expit(x_r + m_r) * m_n) + z * h
    total = x + rest[0] @ weight.T
    return (np.tanh(total) if kind == "tanh" else np.maximum(total, 0),)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", GATES)
def test_states_are_those_of_the_recurrence(kind, size, reverse, dtype, rng):
    projected, weight, *states = arrays = arguments(kind, size, dtype, rng)
    results = forward(kind, arrays, reverse)
    assert [result.dtype for result in results] == [dtype] * len(results)
    tolerance = 20 * size[2] * np.finfo(dtype).eps
    for t in range(size[0])[:: -1 if reverse else 1]:
        states = step(kind, projected[t], weight, *states)
        hidden = states[1 if kind == "gru" else 0]
        np.testing.assert_allclose(results[0][t], hidden, rtol=0, atol=tolerance * max(1, abs(hidden).max()))
        if kind == "lstm":
            np.testing.assert_allclose(results[2][t], states[1], rtol=0, atol=tolerance)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 2, 5), (4, 3, 17)])
@pytest.mark.parametrize("kind", GATES)
def test_gradients_are_the_slopes_of_the_states(kind, size, reverse, rng):
    arrays = arguments(kind, size, np.float64, rng)
    results = forward(kind, arrays, reverse)
    count = 2 if kind == "lstm" else 1
    g, lasts = rng.standard_normal(results[0].shape), rng.standard_normal((count, *results[0].shape[1:]))

    def weighted(values):
        found = forward(kind, values, reverse)
        last = 0 if reverse else -1
        ends = (found[0][last], found[2][last]) if kind == "lstm" else (found[0][last],)
        return (g * found[0]).sum() + sum((own * end).sum() for own, end in zip(lasts, ends, strict=True))

    gradients = backward(kind, g, lasts, arrays, results, reverse)
    assert len(gradients) == len(arrays)
    for place, gradient in enumerate(gradients):
        direction = rng.standard_normal(gradient.shape)
        ends = []
        for move in (1e-6, -1e-6):
            moved = [array + move * direction if number == place else array for number, array in enumerate(arrays)]
            ends.append(weighted(moved))
        assert (gradient * direction).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("size", [(5, 13, 33), (3, 70, 16)])
@pytest.mark.parametrize("kind", GATES)
def test_float32_gradients_are_those_of_float64_rounded(kind, size, rng):
    arrays = arguments(kind, size, np.float32, rng)
    g = rng.standard_normal((*size[:2], size[2])).astype(np.float32)
    found = []
    for dtype in (np.float32, np.float64):
        exact = [array.astype(dtype) for array in arrays]
        lasts = [g[0].astype(dtype)] * (2 if kind == "lstm" else 1)
        found.append(backward(kind, g.astype(dtype), lasts, exact, forward(kind, exact)))
    for single, double in zip(*found, strict=True):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=0, atol=2e-5 * abs(double).max())


@pytest.mark.parametrize("kind", GATES)
def test_examples_do_not_depend_on_each_other_nor_on_the_threads_that_share_them(kind, dtype, rng):
    arrays = arguments(kind, (6, 32, 48), dtype, rng)
    together = forward(kind, arrays)[0]
    count = 3 if kind == "gru" else 2
    for example in (0, 15, 16, 31):
        own = slice(example, example + 1)
        alone = forward(kind, [arrays[0][:, own], *arrays[1:count], *(state[own] for state in arrays[count:])])[0]
        np.testing.assert_allclose(together[:, own], alone, rtol=0, atol=50 * np.finfo(dtype).eps * abs(alone).max())


@pytest.mark.parametrize("kind", GATES)
def test_any_strides_are_taken(kind, rng):
    arrays = arguments(kind, (3, 4, 6), np.float64, rng)
    strided = [np.asfortranarray(array[::-1])[::-1] for array in arrays]
    results = forward(kind, arrays)
    for found, expected in zip(forward(kind, strided), results, strict=True):
        np.testing.assert_array_equal(found, expected)
    g = rng.standard_normal((3, 4, 1))
    lasts = [np.ones((4, 6))] * (2 if kind == "lstm" else 1)
    plain = backward(kind, np.repeat(g, 6, axis=2), lasts, arrays, results)
    broadcast = backward(kind, np.broadcast_to(g, (3, 4, 6)), [x.T.copy().T for x in lasts], strided, results)
    for found, expected in zip(broadcast, plain, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", GATES)
def test_nan_stays_in_its_example_and_huge_sums_saturate(kind, dtype, rng):
    arrays = arguments(kind, (3, 3, 20), dtype, rng)
    arrays[0][1, 1, 0] = np.nan
    arrays[0][:, 2] = 1e30 if kind == "relu" else np.inf
    out = forward(kind, arrays)[0]
    assert np.isfinite(out[:, 0]).all()
    assert np.isfinite(out[0, 1]).all()
    assert np.isnan(out[1, 1, 0])
    assert np.isnan(out[2, 1]).all()
    assert np.isfinite(out[:, 2]).all()


@pytest.mark.parametrize("kind", GATES)
def test_no_examples_give_no_states_and_no_slope(kind):
    arrays = arguments(kind, (2, 0, 3), np.float32, np.random.default_rng(0))
    results = forward(kind, arrays)
    assert results[0].shape == (2, 0, 3)
    gradients = backward(
        kind, results[0], [np.zeros((0, 3), np.float32)] * (2 if kind == "lstm" else 1), arrays, results
    )
    np.testing.assert_array_equal(gradients[1], 0)


def test_mismatched_arguments_are_refused():
    x, w, h = np.ones((2, 3, 8)), np.ones((8, 2)), np.ones((3, 2))
    with pytest.raises(ValueError, match=r"projected must have shape \(T, B, 4·H\) with T > 0"):
        kernels.lstm(x[:0], w, h, h)
    with pytest.raises(ValueError, match=r"projected must have shape \(T, B, 3·H\)"):
        kernels.gru(x, np.ones((6, 2)), None, h)
    with pytest.raises(ValueError, match="weight must have shape"):
        kernels.lstm(x, w[:4], h, h)
    with pytest.raises(ValueError, match="cell must have shape"):
        kernels.lstm(x, w, h, h[:1])
    with pytest.raises(TypeError, match="hidden must have the dtype"):
        kernels.rnn(np.ones((2, 3, 2)), np.ones((2, 2)), h.astype(np.float32))
    with pytest.raises(ValueError, match="nonlinearity must be 'tanh' or 'relu'; got 'gelu'"):
        kernels.rnn(np.ones((2, 3, 2)), np.ones((2, 2)), h, "gelu")
    with pytest.raises(ValueError, match="projected must be C-contiguous and writeable"):
        kernels.lstm(x[:, ::-1], w, h, h)
    with pytest.raises(ValueError, match="last_cell must have shape"):
        kernels.lstm_backward(x[..., :2], h, h[:1], w, h, h, *kernels.lstm(x, w, h, h))
