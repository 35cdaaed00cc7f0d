"""RNN, LSTM and GRU: PyTorch's values, gradients, parameters and shapes; and the operations behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.functional import recurrent
from minigrad.testing import gradcheck

LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("LSTM", {}),
    ("LSTM", {"bias": False, "batch_first": True}),
    ("LSTM", {"num_layers": 3, "bidirectional": True, "batch_first": True}),
    ("GRU", {}),
    ("GRU", {"bias": False}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
]


def flat(results: Any) -> list[Any]:
    """Output, h_n and possibly c_n."""
    output, states = results
    return [output, *(states if isinstance(states, tuple) else [states])]


def first_states(name: str, options: dict[str, Any], batch: tuple[int, ...], rng: np.random.Generator) -> list[Any]:
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    return [rng.standard_normal((count, *batch, 5)) for _ in range(2 if name == "LSTM" else 1)]


@pytest.mark.peers
@pytest.mark.parametrize("given", ["zeros", "states", "one example"])
@pytest.mark.parametrize(("name", "options"), LAYERS)
def test_values_and_gradients_are_torchs_with_its_parameters(
    name: str, options: dict[str, Any], given: str, rng: np.random.Generator
) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    theirs = getattr(torch.nn, name)(4, 5, **options).double()
    ours = getattr(nn, name)(4, 5, **options).astype(np.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    batch = () if given == "one example" else (3,)
    x = rng.standard_normal((3, 7, 4) if batch and options.get("batch_first") else (7, *batch, 4))
    states = [] if given == "zeros" else first_states(name, options, batch, rng)

    def run(layer: Any, tensor: Any) -> tuple[list[Any], list[Any]]:
        inputs = [tensor(array) for array in (x, *states)]
        after = inputs[1:] if name != "LSTM" or not states else [tuple(inputs[1:])]
        results = flat(layer(inputs[0], *after))
        sum((result * result * result).sum() for result in results).backward()
        return results, inputs

    found, inputs = run(ours, lambda array: mg.tensor(array, requires_grad=True))
    expected, their_inputs = run(theirs, lambda array: torch.tensor(array, requires_grad=True))
    for result, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(result.data, reference.detach().numpy(), atol=1e-12)
    for value, reference in zip(inputs, their_inputs, strict=True):
        np.testing.assert_allclose(value.grad, reference.grad.numpy(), atol=1e-11)
    for parameter, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad, reference.grad.numpy(), atol=1e-10)


def test_parameters_start_uniform_on_the_inverse_root_of_the_hidden_size() -> None:
    layer = nn.LSTM(100, 64)
    for parameter in layer.parameters():
        assert parameter.dtype == np.float32
        assert 0.9 / 8 < abs(parameter.data).max() <= 1 / 8
        assert abs(parameter.data.mean()) < 0.02
    assert {name: value.shape for name, value in layer.named_parameters()} == {
        "weight_ih_l0": (256, 100),
        "weight_hh_l0": (256, 64),
        "bias_ih_l0": (256,),
        "bias_hh_l0": (256,),
    }


def test_dropout_falls_between_layers_in_training_only() -> None:
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
    layer = nn.GRU(3, 8, num_layers=2, dropout=1.0)
    bottom_off = layer(x)[0]
    for name, parameter in layer.named_parameters():
        if name == "weight_ih_l1":
            parameter.data[...] = 0
    np.testing.assert_allclose(bottom_off.data, layer.eval()(x)[0].data, atol=1e-7)
    single = nn.GRU(3, 8, dropout=1.0)
    np.testing.assert_array_equal(single(x)[0].data, single.eval()(x)[0].data)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_sequence_cut_in_two_continues_from_its_states(kind: Any, rng: np.random.Generator) -> None:
    layer = kind(3, 6, num_layers=2)
    x = rng.standard_normal((8, 2, 3)).astype(np.float32)
    whole = layer(x)
    first = layer(x[:5])
    second = layer(x[5:], first[1])
    np.testing.assert_allclose(np.concatenate([first[0].data, second[0].data]), whole[0].data, atol=1e-6)
    for found, expected in zip(flat(second)[1:], flat(whole)[1:], strict=True):
        np.testing.assert_allclose(found.data, expected.data, atol=1e-6)


def test_settings_are_shown_and_checked() -> None:
    assert repr(nn.LSTM(3, 5, num_layers=2, bidirectional=True)) == "LSTM(3, 5, num_layers=2, bidirectional=True)"
    with pytest.raises(ValueError, match="nonlinearity: expected 'tanh' or 'relu', got 'gelu'"):
        nn.RNN(3, 5, nonlinearity="gelu")
    with pytest.raises(ValueError, match="num_layers: expected a positive number, got 0"):
        nn.GRU(3, 5, num_layers=0)
    with pytest.raises(ValueError, match="p: expected a probability"):
        nn.GRU(3, 5, dropout=1.5)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(7, 2, 4)], r"input: expected shape \(T, B, 3\) or \(T, 3\), got \(7, 2, 4\)"),
        ([(0, 2, 3)], r"input: expected at least one time step, got shape \(0, 2, 3\)"),
        ([(7, 2, 3), (1, 3, 5), (1, 3, 5)], r"state: expected shape \(1, 2, 5\), got \(1, 3, 5\)"),
        ([(7, 3), (1, 1, 5), (1, 1, 5)], r"state: expected shape \(1, 5\), got \(1, 1, 5\)"),
        ([(7, 2, 3), (1, 2, 5)], r"state: expected the pair \(h_0, c_0\)"),
    ],
)
def test_invalid_arguments_are_named(shapes: list[tuple[int, ...]], message: str) -> None:
    x, *states = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        nn.LSTM(3, 5)(x, tuple(states) or None)


# Operations: derivatives of any order, over batches of examples that the code does not see

STEPS, BATCH, INPUTS, UNITS = 3, 2, 3, 2
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {}),
    ("rnn", {"nonlinearity": "relu", "reverse": True}),
    ("lstm", {}),
    ("lstm", {"reverse": True}),
    ("gru", {}),
    ("gru", {"reverse": True}),
]


def operands(name: str, rng: np.random.Generator) -> list[Any]:
    rows = {"rnn": 1, "lstm": 4, "gru": 3}[name] * UNITS
    biases, states = [(rows,)] * (2 if name == "gru" else 1), [(BATCH, UNITS)] * (2 if name == "lstm" else 1)
    shapes = [(STEPS, BATCH, INPUTS), (rows, INPUTS), (rows, UNITS), *biases, *states]
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_first_and_second_derivatives_are_right(name: str, options: dict[str, Any], rng: np.random.Generator) -> None:
    op = getattr(recurrent, name)
    assert gradcheck(lambda *args: op(*args, **options), operands(name, rng), order=2)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_values_are_those_of_the_composed_definition(
    name: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    op, arrays = getattr(recurrent, name), [mg.tensor(x) for x in operands(name, rng)]
    composed = op.decomposition(*arrays, **{**op.defaults, **options})
    for found, expected in zip(op(*arrays, **options), composed, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-14)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_vmap_is_one_call_for_each_example(name: str, options: dict[str, Any], rng: np.random.Generator) -> None:
    op, (x, *others) = getattr(recurrent, name), operands(name, rng)
    many = np.stack([x, 2 * x, -x])
    found = mg.func.vmap(lambda x: op(x, *others, **options)[0])(mg.tensor(many))
    expected = [op(x, *others, **options)[0].numpy() for x in many]
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-14)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_no_bias_is_a_bias_of_zeros(name: str, rng: np.random.Generator) -> None:
    arrays = operands(name, rng)
    results = []
    for bias in (None, np.zeros_like(arrays[3])):
        x = mg.tensor(arrays[0], requires_grad=True)
        biases = [bias] * (2 if name == "gru" else 1)
        out, last, *_ = getattr(recurrent, name)(x, *arrays[1:3], *biases, *arrays[3 + len(biases) :])
        (out.sum() + last.sum()).backward()
        results.append((out.data, x.grad))
    for without, zero in zip(*results, strict=True):
        np.testing.assert_array_equal(without, zero)


def test_states_changed_in_place_leave_the_gradient_right(rng: np.random.Generator) -> None:
    array, *others = operands("lstm", rng)
    gradients = []
    for change in (0.0, 1.0):
        x = mg.tensor(array, requires_grad=True)
        states = recurrent.lstm(x, *others)
        for state in states:
            state += change
        sum(state.sum() for state in states).backward()
        gradients.append(x.grad)
    np.testing.assert_array_equal(*gradients)
