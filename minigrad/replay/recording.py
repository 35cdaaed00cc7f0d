"""Recording of a function's primitives, in the order of their calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from minigrad.engine.tensor import Observer, Operation, Tensor, observers

T = TypeVar("T")


class Call(NamedTuple):
    """Call of a primitive: its arguments, what they became, its parameters and its results."""

    op: Any
    args: tuple[Any, ...]
    values: tuple[Any, ...]
    params: dict[str, Any]
    results: tuple[Tensor, ...]


class Recorder(Observer):
    """Observer that keeps all calls, and with them the arrays, whose identities therefore tell them apart."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.writes = False  # True if a tensor was changed in place

    def forward(
        self, op: Operation, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any], results: list[Tensor]
    ) -> None:
        self.calls.append(Call(op, tuple(args), tuple(values), params, tuple(results)))

    def write(self, tensor: Tensor) -> None:
        self.writes = True


def recorded(function: Callable[[], T]) -> tuple[T, Recorder]:
    """Run a function; return its result and what was recorded.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones(2)
        >>> _, recorder = recorded(lambda: mg.exp(x) * 2)
        >>> [call.op.name for call in recorder.calls]
        ['exp', 'multiply']
    """
    recorder = Recorder()
    token = observers.set((*observers.get(), recorder))
    try:
        return function(), recorder
    finally:
        observers.reset(token)
