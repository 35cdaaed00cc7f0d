"""Programs of recorded functions: the results of the functions themselves, for other rows and inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import Tensor
from minigrad.kernels.program.instructions import CACHE_WORDS, TABLE_WORDS
from minigrad.nn import functional as F
from minigrad.replay import Program, Unsupported, recorded

Array = np.ndarray[Any, Any]
NONE = np.zeros((0, CACHE_WORDS), np.int64), np.zeros((1, TABLE_WORDS), np.int64)


def program_of(function: Callable[..., Tensor], rows: Array, *inputs: Array, held: tuple[Tensor, ...] = ()) -> Program:
    given_rows, given_inputs = mg.asarray(rows), [mg.asarray(x) for x in inputs]
    with mg.no_grad():
        result, recorder = recorded(lambda: function(given_rows, *given_inputs))
    return Program(recorder, given_rows, given_inputs, result, {id(x.data) for x in held})


def assert_replays(
    function: Callable[..., Tensor], rows: Array, *inputs: Array, held: tuple[Tensor, ...] = (), atol: float = 1e-6
) -> None:
    """Recorded with some rows and inputs, a program has the function's results for others, also for fewer rows."""
    program, rng = program_of(function, rows, *inputs, held=held), np.random.default_rng(1)
    for batch in (len(rows), 1):
        others = rng.standard_normal((batch, *rows.shape[1:]), np.float32)
        own = (x[:batch] if len(x) == len(rows) else x for x in inputs)
        changed = [x * np.float32(0.5) + 1 for x in own]
        with mg.no_grad():
            expected = function(mg.asarray(others), *map(mg.asarray, changed)).numpy()
        found = program(others, changed, *NONE)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol)


UNARY = (F.relu, F.gelu, lambda x: F.gelu(x, approximate="tanh"), F.silu, mg.sigmoid, mg.tanh, mg.negative)
BINARY = (mg.add, mg.subtract, mg.multiply, mg.divide)
SHAPES = st.lists(st.integers(1, 5), max_size=2)


@pytest.mark.parametrize("function", UNARY)
@settings(deadline=None, max_examples=20)
@given(batch=st.integers(1, 3), shape=SHAPES)
def test_functions_of_one_operand(function, batch, shape):
    rows = np.random.default_rng(0).standard_normal((batch, *shape, 7), np.float32)
    assert_replays(lambda x: function(function(x)), rows)


@pytest.mark.parametrize("function", BINARY)
@settings(deadline=None, max_examples=30)
@given(batch=st.integers(1, 3), shape=SHAPES, data=st.data())
def test_functions_of_two_operands_broadcast(function, batch, shape, data):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((batch, *shape, 6), np.float32)
    narrow = [size if data.draw(st.booleans()) else 1 for size in (*shape, 6)]
    shared = rng.standard_normal((1, *narrow), np.float32) + 4
    weight = mg.asarray(rng.standard_normal(narrow, np.float32) + 4)
    assert_replays(lambda x, y: function(x, y), rows, shared)
    assert_replays(lambda x, y: function(y, x + 9), rows, shared)
    assert_replays(lambda x: function(function(x, weight), x + 5), rows, held=(weight,))
    assert_replays(lambda x: function(function(x, 3.0), x + 5), rows)


@settings(deadline=None, max_examples=30)
@given(batch=st.integers(1, 3), heads=st.integers(1, 3), half=st.integers(1, 9))
def test_views_and_joins(batch, heads, half):
    rows = np.random.default_rng(0).standard_normal((batch, 1, heads * 2 * half), np.float32)

    def turned(x: Tensor, y: Tensor) -> Tensor:
        x = x.reshape(len(x), 1, heads, 2 * half).transpose(0, 2, 1, 3)
        first, second = x[..., :half], x[..., half:]
        x = mg.concat([first * y[0] - second, first + second * y[1]], axis=-1)
        x = mg.concat([x, x[:, ::-1]], axis=1)
        return x.transpose(0, 2, 3, 1).reshape(len(x), 4 * heads * half)[:, None]

    assert_replays(turned, rows, np.ones((5, 1, half), np.float32))


@settings(deadline=None, max_examples=30)
@given(batch=st.integers(1, 9), inner=st.integers(1, 70), out=st.integers(1, 70), bias=st.booleans())
def test_linear_maps_and_norms(batch, inner, out, bias):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((batch, 1, inner), np.float32)
    weight, scale, shift = (mg.asarray(rng.standard_normal(n, np.float32)) for n in ((out, inner), inner, out))
    added = shift if bias else None
    held = (weight, scale, shift)
    assert_replays(lambda x: F.linear(F.rms_norm(x, inner, scale), weight, added), rows, held=held, atol=1e-4)
    assert_replays(lambda x: F.layer_norm(F.linear(x, weight, added), out, None, shift), rows, held=held, atol=1e-2)


def test_inputs_are_computed_again_at_each_run():
    rows = np.ones((2, 3), np.float32)
    assert_replays(lambda x, y: x * mg.cos(y) + mg.sin(y * 2.0), rows, np.ones((1, 3), np.float32))
    assert_replays(lambda x, y: x * mg.exp(mg.reshape(y, (len(x), 1))), rows, np.ones((2, 1, 1), np.float32))


def test_what_is_written_into_a_weight_is_seen_unless_something_was_derived_from_it():
    weight = mg.ones(3)
    rows = np.ones((2, 3), np.float32)
    program = program_of(lambda x: x * weight, rows, held=(weight,))
    weight.data[...] = 5
    np.testing.assert_array_equal(program(rows, [], *NONE), 5 * rows)
    assert not program.derived
    assert program_of(lambda x: x * (weight + 1), rows, held=(weight,)).derived


def test_examples_of_a_program_do_not_see_each_other():
    program = program_of(lambda x: F.silu(x) * x[:, ::-1], np.ones((8, 5), np.float32))
    rows = np.random.default_rng(0).standard_normal((8, 5), np.float32)
    together = program(rows, [], *NONE)
    np.testing.assert_array_equal(together, np.concatenate([program(row[None], [], *NONE) for row in rows]))


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: mg.sum(x, axis=1), "sum: no instruction"),
        (lambda x: mg.reshape(x, (2, 2, 1, 2, 1)) * mg.reshape(x, (2, 1, 2, 1, 2)), "in a layout of 4 strides"),
        (lambda x: x[0] * 2, "without the batch's axis"),
        (lambda x: x * mg.asarray(np.ones(4, np.float32)), "neither an input nor held by the model"),
        (lambda x: x * mg.ones(4, dtype="float64"), "neither an input nor held|dtypes"),
        (lambda x: mg.ones((2, 4)) * 3, "neither an input nor held|does not depend on the rows"),
        (lambda x: x, "not computed whole"),
        (lambda x: (x * 2)[:, :2], "not computed whole"),
        (lambda x: x * mg.random.uniform((4,)), "no array to depend on|neither an input nor held"),
    ],
)
def test_what_cannot_be_replayed_is_refused(function, why):
    with pytest.raises(Unsupported, match=why):
        program_of(function, np.ones((2, 4), np.float32))


def test_a_tensor_that_was_changed_in_place_is_refused():
    def changed(x: Tensor) -> Tensor:
        y = x * 2
        y += 1
        return y

    with pytest.raises(Unsupported, match="changed in place"):
        program_of(changed, np.ones((2, 4), np.float32))
