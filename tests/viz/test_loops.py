"""Loops in unrolled graphs: repeated runs of operations are drawn once."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn, viz
from minigrad.viz.loops import box_loops
from minigrad.viz.picture import Picture
from minigrad.viz.trace import trace

OPERATIONS = (mg.sin, mg.cos, mg.tanh, mg.abs)


def leaf(*shape: int) -> mg.Tensor:
    return mg.tensor(np.ones(shape, np.float32), requires_grad=True)


def folded(output: mg.Tensor, backward: bool = False) -> tuple[Picture, Picture]:
    whole = box_loops(trace([("y", output)], backward=backward))
    return whole, viz.fold(whole)


def labels(picture: Picture) -> list[str]:
    return sorted(vertex.label for vertex in picture.vertices)


def times(picture: Picture) -> list[int]:
    return sorted(len(repeat) for repeat in picture.repeats.values())


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("shared", [True, False])
def test_a_loop_body_with_shared_or_own_parameters_is_drawn_once(shared: bool, backward: bool) -> None:
    x = leaf(2, 8)
    weight = nn.Parameter(np.ones((8, 8), np.float32))
    y = x
    for _ in range(50):
        used = weight if shared else nn.Parameter(np.ones((8, 8), np.float32))
        y = mg.tanh(y @ used) + np.ones(8, np.float32)
    whole, drawn = folded(y, backward)
    assert len(whole.vertices) > 150
    forward = [vertex.label for vertex in drawn.vertices if not vertex.backward]
    assert sorted(forward) == ["add", "constant", "matmul", "parameter", "tanh", "tensor", "y"]
    assert 50 in times(drawn) and set(times(drawn)) == {50}
    assert [v.label for v in drawn.vertices].count("∂ tanh") == backward


def test_the_picture_says_how_often_a_loop_ran() -> None:
    y = leaf(3)
    for _ in range(200):
        y = mg.sin(y) * 0.5
    source = viz.graph(y).to_dot()
    assert "repeated × 200" in source
    assert len(re.findall(r"^\s*v\d+ \[", source, re.MULTILINE)) == 4


@settings(max_examples=40)
@given(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=5), st.integers(4, 9))
def test_any_body_is_folded_to_at_most_its_own_length(body: list, runs: int) -> None:
    y = leaf(3)
    for _ in range(runs):
        for operation in body:
            y = operation(y)
    whole, drawn = folded(y)
    assert len(whole.vertices) == runs * len(body) + 2
    assert len(drawn.vertices) <= len(body) + 2


def test_what_comes_before_and_after_a_loop_stays_outside() -> None:
    y = mg.exp(leaf(3))
    for _ in range(4):
        y = mg.sin(y) * 0.5
    _, drawn = folded(mg.sqrt(y))
    outside = [vertex.label for vertex in drawn.vertices if vertex.block is None]
    assert sorted(outside) == ["exp", "sqrt", "tensor", "y"]


def test_results_that_a_loop_collects_are_drawn_once() -> None:
    y, collected = leaf(3), []
    for _ in range(6):
        y = mg.tanh(y) * 0.5
        collected.append(mg.exp(y))
    _, drawn = folded(mg.concat(collected))
    assert labels(drawn) == ["concat", "exp", "multiply", "tanh", "tensor", "y"]


def test_a_residual_stream_is_folded_with_its_sums_of_gradients() -> None:
    y = leaf(3)
    for _ in range(10):
        y = y + mg.sin(y)
    _, drawn = folded(y, backward=True)
    assert labels(drawn).count("∂ sin") <= 2  # the last result has no sum of gradients
    assert labels(drawn).count("add") <= 4


def test_modules_in_a_loop_are_folded_with_the_operations_between_them() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            for layer in self.layers:
                x = mg.relu(layer(x))
            return x

    source = viz.graph(Chain(), mg.ones((2, 4))).to_dot()
    assert "repeated × 5" in source and source.count(">relu<") == 1
    source = viz.graph(Chain(), mg.ones((2, 4)), backward=True).to_dot()
    assert "repeated × 4" in source and "repeated × 1" in source  # the first one's input needs no gradient


def test_different_runs_are_not_folded() -> None:
    y = leaf(3)
    for operation in (mg.sin, mg.exp, mg.tanh, mg.square, mg.exp, mg.sin):
        y = operation(y)
    whole, drawn = folded(y)
    assert len(drawn.vertices) == len(whole.vertices) and not drawn.repeats
