"""Random programs: graphs built, changed, differentiated and freed in any order agree with a naive differentiator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

import minigrad as mg
from minigrad import Tensor

Array = np.ndarray


class Reference:
    """Reference value with its inputs. Its derivative walks every path to every leaf, one by one."""

    def __init__(self, value: Any, parents: list[tuple[Reference, Callable[[Array], Any], list[Reference]]]) -> None:
        self.value = np.array(value, np.float64)
        # For each parent: the derivative's step towards it, and whose values that step needs.
        self.parents = [
            (parent, step, [(needed, needed.version) for needed in needs])
            for parent, step, needs in parents
            if parent.required
        ]
        self.required = bool(self.parents)
        self.version = 0
        self.freed = self.uncertain = False
        self.factor = 1.0  # of a hook that scales the gradient
        self.retains = False
        self.grad: Array | None = None

    @classmethod
    def leaf(cls, value: Any) -> Reference:
        made = cls(value, [])
        made.required = made.retains = True
        return made

    def broken(self) -> bool:
        """True if a derivative from here needs freed or changed data."""
        return any(
            vertex.freed or any(needed.version != stamp for needed, stamp in needs)
            for vertex in self.history()
            for _, _, needs in vertex.parents
        )

    def push(self, gradient: Array) -> None:
        gradient = gradient * self.factor
        if self.retains:
            self.grad = gradient if self.grad is None else self.grad + gradient
        for parent, step, _ in self.parents:
            pushed = np.broadcast_to(step(gradient), np.broadcast_shapes(np.shape(step(gradient)), parent.value.shape))
            parent.push(pushed.sum() if parent.value.ndim == 0 else pushed)

    def history(self) -> list[Reference]:
        return [self, *(earlier for parent, _, _ in self.parents for earlier in parent.history())]


def _add_at(gradient: Array) -> Array:
    out = np.zeros(3)
    np.add.at(out, [2, 0, 0], gradient)
    return out


# name → (the tensors' operation, the value, the derivative's step)
UNARY: dict[
    str, tuple[Callable[[Any], Any], Callable[[Array], Any], Callable[[Array, Array], Callable[[Array], Any]]]
] = {
    "sin": (mg.sin, np.sin, lambda a, y: lambda g: g * np.cos(a)),
    "tanh": (mg.tanh, np.tanh, lambda a, y: lambda g: g * (1 - y * y)),
    "negative": (mg.negative, np.negative, lambda a, y: lambda g: -g),
    "sum": (mg.sum, np.sum, lambda a, y: lambda g: g * np.ones_like(a)),
    "stretch": (lambda x: x * mg.ones(3, dtype=mg.float64), lambda a: a * np.ones(3), lambda a, y: lambda g: g),
}
NEEDS = {"sin": "a", "tanh": "y"}
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (lambda a, b: a + b, lambda a, b: (lambda g: g, lambda g: g)),
    "subtract": (lambda a, b: a - b, lambda a, b: (lambda g: g, lambda g: -g)),
    "multiply": (lambda a, b: a * b, lambda a, b: (lambda g: g * b, lambda g: g * a)),
}


class Programs(RuleBasedStateMachine):
    pairs: Bundle[Any] = Bundle("pairs")
    leaves: Bundle[Any] = Bundle("leaves")

    @initialize()
    def start(self) -> None:
        self.all: list[tuple[Tensor, Reference]] = []

    def keep(self, tensor: Tensor, reference: Reference) -> tuple[Tensor, Reference]:
        self.all.append((tensor, reference))
        return tensor, reference

    @rule(target=leaves, value=st.sampled_from([[0.5, -1.0, 2.0], [1.0, 0.3, -0.2], 0.7]))
    def leaf(self, value: Any) -> Any:
        return self.keep(mg.tensor(value, dtype=mg.float64, requires_grad=True), Reference.leaf(value))

    @rule(target=pairs, pair=leaves)
    def take(self, pair: Any) -> Any:
        return pair

    @rule(target=pairs, pair=pairs, name=st.sampled_from(sorted(UNARY)))
    def unary(self, pair: Any, name: str) -> Any:
        (x, a), (operation, value, step) = pair, UNARY[name]
        y = value(a.value)
        made = Reference(y, [(a, step(a.value.copy(), np.asarray(y)), [a] if NEEDS.get(name) == "a" else [])])
        for _, _, needs in made.parents:
            needs += [(made, made.version)] if NEEDS.get(name) == "y" else []
        return self.keep(operation(x), made)

    @rule(target=pairs, pair=pairs)
    def repeated_index(self, pair: Any) -> Any:
        x, a = pair
        if x.ndim == 0:
            return multiple()
        return self.keep(x[[2, 0, 0]], Reference(a.value[[2, 0, 0]], [(a, _add_at, [])]))

    def combined(self, name: str, a: Reference, b: Reference) -> Reference:
        steps = BINARY[name][1](a.value.copy(), b.value.copy())
        needs = ([b], [a]) if name == "multiply" else ([], [])
        return Reference(BINARY[name][0](a.value, b.value), [(a, steps[0], needs[0]), (b, steps[1], needs[1])])

    @rule(target=pairs, left=pairs, right=pairs, name=st.sampled_from(sorted(BINARY)))
    def binary(self, left: Any, right: Any, name: str) -> Any:
        (x, a), (y, b) = left, right
        return self.keep(BINARY[name][0](x, y), self.combined(name, a, b))

    @rule(target=pairs, pair=pairs)
    def detach(self, pair: Any) -> Any:
        x, a = pair
        made = Reference(a.value, [])
        return self.keep(x.detach() * 1.0, made)

    @rule(target=pairs, pair=pairs)
    def without_recording(self, pair: Any) -> Any:
        x, a = pair
        with mg.no_grad():
            return self.keep(mg.sin(x), Reference(np.sin(a.value), []))

    @rule(target=pairs, left=consumes(pairs), right=pairs)
    def update_in_place(self, left: Any, right: Any) -> Any:
        (x, a), (y, b) = left, right
        if x.is_leaf or y.ndim > x.ndim or not (a.required or b.required):
            return left
        made = self.combined("multiply", a, b)
        self.all = [pair for pair in self.all if pair[0] is not x]
        x *= y
        return self.keep(x, made)

    @rule(pair=leaves)
    def step_of_an_optimizer(self, pair: Any) -> None:
        x, a = pair
        with mg.no_grad():
            x += 0.5
        a.value = a.value + 0.5
        a.version += 1

    @rule(pair=pairs, factor=st.sampled_from([2.0, -0.5]))
    def hook(self, pair: Any, factor: float) -> None:
        x, a = pair
        if a.required:
            x.register_hook(lambda gradient: gradient * factor)
            a.factor *= factor

    @rule(pair=pairs)
    def backward(self, pair: Any) -> None:
        self.check_backward(*pair, retain=False)

    @rule(pair=pairs)
    def backward_and_retain(self, pair: Any) -> None:
        self.check_backward(*pair, retain=True)

    def check_backward(self, x: Tensor, a: Reference, retain: bool) -> None:
        if not a.required or any(earlier.uncertain for earlier in a.history()):
            return
        start = np.linspace(1, 2, a.value.size).reshape(a.value.shape)
        if a.broken():
            try:
                x.backward(start, retain_graph=retain)
            except RuntimeError:
                for tensor, reference in self.all:  # what came before the error may have been added, and freed
                    tensor.grad = reference.grad = None
                for earlier in a.history():
                    earlier.uncertain = bool(earlier.parents)
            else:
                raise AssertionError("a freed or changed graph was differentiated")
            return
        x.backward(start, retain_graph=retain)
        a.push(start)
        if not retain:
            for earlier in a.history():
                earlier.freed = True

    @invariant()
    def values_and_gradients_agree(self) -> None:
        for x, a in getattr(self, "all", []):
            np.testing.assert_allclose(x.data, a.value, atol=1e-12)
            assert (x.grad is None) == (a.grad is None)
            if x.grad is not None and a.grad is not None:
                assert x.grad.shape == x.shape and x.grad.dtype == x.dtype
                np.testing.assert_allclose(x.grad.data, a.grad, rtol=1e-9, atol=1e-9)


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(max_examples=100, stateful_step_count=25)
