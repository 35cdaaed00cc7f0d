"""Pictures of derivatives of random programs are acyclic."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from typing import Any

from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import viz
from minigrad.engine.backward import vertices
from minigrad.engine.tensor import Node
from minigrad.viz.trace import trace

UNARY = ("sin", "cos", "exp", "tanh", "square")
BINARY = ("add", "multiply", "subtract")


@st.composite
def programs(draw: st.DrawFn) -> mg.Tensor:
    """The result of a few operations, each on any of the earlier results: values are used many times."""
    values = [mg.tensor([0.5, 0.25], requires_grad=True) for _ in range(draw(st.integers(1, 2)))]
    for _ in range(draw(st.integers(1, 8))):
        any_value = st.sampled_from(values)
        if draw(st.booleans()):
            values.append(getattr(mg, draw(st.sampled_from(UNARY)))(draw(any_value)))
        else:
            values.append(getattr(mg, draw(st.sampled_from(BINARY)))(draw(any_value), draw(any_value)))
    return values[-1]


def _check(y: mg.Tensor) -> None:
    picture = trace([("y", y)], backward=True)
    derivatives = [vertex.label for vertex in picture.vertices if vertex.label.startswith("∂ ")]
    forward = [vertex for vertex in vertices([y.edge[0]]) if isinstance(vertex, Node)]
    # Each operation's derivative once, but for those that only hand gradients on.
    assert len(derivatives) - 1 <= len(forward)
    for name in {*UNARY, "multiply"}:
        assert derivatives.count(f"∂ {name}") == sum(node.name == name for node in forward)
    arrows = re.findall(r"^\s*(\w+) -> (\w+)", viz.graph(y, backward=True).to_dot(), re.MULTILINE)
    before: dict[str, list[str]] = {}
    for tail, head in arrows:
        before.setdefault(head, []).append(tail)
    assert arrows
    TopologicalSorter(before).prepare()  # CycleError where a vertex comes before itself


@given(programs())
def test_pictures_of_derivatives_have_no_cycle_and_each_derivative_once(y: mg.Tensor) -> None:
    if y.node is not None:
        _check(y)


def test_a_residual_stream_has_a_sum_of_gradients_for_each_of_its_tensors() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    x1 = x + mg.sin(x)
    x2 = x1 + mg.cos(x1)
    _check(x2)
    sums = [v for v in trace([("y", x2)], backward=True).vertices if v.backward and v.label == "add"]
    assert len(sums) == 2


def test_the_derivative_of_a_module_with_residuals_has_no_cycle() -> None:
    class Residual(mg.nn.Module):
        def __init__(self) -> None:
            self.first, self.second = mg.nn.Linear(2, 2), mg.nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            x = x + mg.tanh(self.first(x))
            return x + mg.tanh(self.second(x))

    _check(Residual()(mg.ones((3, 2), dtype=mg.float32)))
