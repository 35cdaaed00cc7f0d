"""Recurrences as operations: derivatives of any order, also inside vmap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import recurrent
from minigrad.testing import gradcheck

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
