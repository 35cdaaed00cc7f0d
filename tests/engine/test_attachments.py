"""The three points at which other parts attach to the engine, each with a part of one's own."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from minigrad.engine import Node, Observer, Tensor, Tracer, backward_pass, no_grad, primitive
from minigrad.engine.tensor import observers, saved_values_hook, write_to


@primitive
def multiply(a: Any, b: Any, /) -> Any:
    return np.multiply(a, b)


multiply.vjp(a=lambda g, b: multiply(g, b), b=lambda g, a: multiply(g, a))


class Logged(Tracer):
    """An array whose operations write down that they ran."""

    log: list[str] = []  # noqa: RUF012  # of the class, on purpose

    def __init__(self, array: Any) -> None:
        self.array = array

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)
    dtype = property(lambda self: self.array.dtype)

    def astype(self, dtype: Any, copy: bool = True) -> Logged:
        return Logged(self.array.astype(dtype, copy=copy))

    def values(self) -> Any:
        return self.array

    @classmethod
    def apply(cls, op: Any, args: tuple[Any, ...], values: list[Any], params: dict[str, Any]) -> Any:
        cls.log.append(op.name)
        plain = [value.array if isinstance(value, Logged) else value for value in values]
        return op.wrap(args, values, params, Logged(op.forward(*plain, **params)))


def test_a_tracer_in_the_place_of_the_array_interprets_the_operations_and_their_derivatives() -> None:
    Logged.log.clear()
    x = Tensor(Logged(np.array([2.0, 3.0])), requires_grad=True)
    y = multiply(multiply(x, x), Tensor(np.array([[1.0], [10.0]])))
    assert Logged.log == ["multiply"] * 2 and y.shape == (2, 2) and isinstance(y.data, Logged)
    one = Tensor(np.ones((2, 2)))
    (slope,) = backward_pass([y], [one], [x], create_graph=True, retain_graph=True)
    (curve,) = backward_pass([slope], [Tensor(np.ones(2))], [x])
    np.testing.assert_allclose(slope.data.array, [44, 66])
    np.testing.assert_allclose(curve.data, [22, 22])
    (plain,) = backward_pass([multiply(x, x)], [Tensor(np.ones(2))], [x])  # unrecorded, on tracers all the same
    np.testing.assert_allclose(plain.data.array, [4, 6])


def test_a_tracer_without_an_interpreter_says_so() -> None:
    class Bare(Tracer):
        shape, ndim, size, dtype = (), 0, 1, np.dtype(np.float64)

    with pytest.raises(TypeError, match="Bare defines no apply"):
        multiply(Tensor(Bare()), 2.0)


def test_saved_values_can_be_kept_elsewhere() -> None:
    stored: list[bytes] = []

    def to_bytes(values: dict[str, Any]) -> Any:
        stored.append(pickle.dumps(values))
        number = len(stored) - 1
        return lambda: pickle.loads(stored[number])

    x = Tensor(np.array([2.0, 3.0]), requires_grad=True)
    token = saved_values_hook.set(to_bytes)
    try:
        y = multiply(multiply(x, x), x)
    finally:
        saved_values_hook.reset(token)
    assert len(stored) == 2
    backward_pass([y], [Tensor(np.ones(2))])
    assert x.grad is not None and x.grad.tolist() == [12, 27]


def test_observers_see_calls_derivatives_and_changes_in_place_but_not_the_steps_of_a_derivative() -> None:
    seen: list[Any] = []

    class Watcher(Observer):
        def forward(self, op: Any, args: Any, values: Any, params: Any, results: list[Tensor]) -> None:
            seen.append(("forward", op.name, [value.tolist() for value in values], results[0].tolist()))

        def backward(self, node: Node, cotangents: Sequence[Any], gradients: Sequence[Any]) -> None:
            seen.append(("backward", node.name, [None if g is None else g.tolist() for g in gradients]))

        def write(self, tensor: Tensor) -> None:
            seen.append(("write", tensor.tolist()))

    x = Tensor(np.array([2.0]), requires_grad=True)
    token = observers.set((Watcher(),))
    try:
        y = multiply(x, np.array([5.0]))
        backward_pass([y], [Tensor(np.ones(1))])
        with no_grad():
            multiply(x, x)
        write_to(x)
    finally:
        observers.reset(token)
    multiply(x, x)
    assert seen == [
        ("forward", "multiply", [[2.0], [5.0]], [10.0]),
        ("backward", "multiply", [[5.0], None]),
        ("forward", "multiply", [[2.0], [2.0]], [4.0]),
        ("write", [2.0]),
    ]
