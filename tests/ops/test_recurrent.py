"""Recurrences as operations: derivatives of any order, over batches of examples that the code does not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import recurrent
from minigrad.testing import gradcheck

STEPS, BATCH, UNITS = 3, 2, 2
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
    states = [(BATCH, UNITS)] * (2 if name == "lstm" else 1)
    return [
        rng.standard_normal(s) for s in [(STEPS, BATCH, rows), (rows, UNITS), *[(rows,)] * (name == "gru"), *states]
    ]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_first_and_second_derivatives_are_right(name: str, options: dict[str, Any], rng: np.random.Generator) -> None:
    op = getattr(recurrent, name)
    assert gradcheck(lambda *args: op(*args, **options), operands(name, rng), order=2)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_values_are_those_of_the_composed_definition(
    name: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    op, arrays = getattr(recurrent, name), [mg.tensor(x) for x in operands(name, rng)]
    composed = op.composition(*arrays, **{**op.defaults, **options})
    for found, expected in zip(op(*arrays, **options), composed, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-14)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_vmap_is_one_call_for_each_example(name: str, options: dict[str, Any], rng: np.random.Generator) -> None:
    op, (projected, *others) = getattr(recurrent, name), operands(name, rng)
    many = np.stack([projected, 2 * projected, -projected])
    found = mg.func.vmap(lambda x: op(x, *others, **options)[0])(mg.tensor(many))
    expected = [op(x, *others, **options)[0].numpy() for x in many]
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-14)


def test_a_gru_without_bias_has_one_of_zeros(rng: np.random.Generator) -> None:
    projected, weight, bias, hidden = operands("gru", rng)
    without, zero = (recurrent.gru(projected, weight, b, hidden)[0] for b in (None, np.zeros_like(bias)))
    np.testing.assert_array_equal(without.numpy(), zero.numpy())
    x = mg.tensor(projected, requires_grad=True)
    recurrent.gru(x, weight, None, hidden)[1].sum().backward()
    assert x.grad is not None


def test_states_changed_in_place_leave_the_gradient_right(rng: np.random.Generator) -> None:
    array = operands("lstm", rng)[0]
    gradients = []
    for change in (0.0, 1.0):
        x = mg.tensor(array, requires_grad=True)
        out, last, cell = recurrent.lstm(x, np.ones((4 * UNITS, UNITS)), *[np.zeros((BATCH, UNITS))] * 2)
        for state in (out, last, cell):
            state += change
        (out.sum() + last.sum() + cell.sum()).backward()
        gradients.append(x.grad)
    np.testing.assert_array_equal(*gradients)
