"""Trace recording: the operations of a function, also without gradients."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np

from minigrad.engine.grad_mode import no_grad
from minigrad.engine.tensor import Array, Node, Observer, Operation, Scope, Shape, Storage, Tensor, observers, scope
from minigrad.trees import flatten


@dataclass(frozen=True)
class Input:
    """Function argument, by its index."""

    position: int


@dataclass(frozen=True)
class Result:
    """Result of an earlier step."""

    step: int
    index: int


@dataclass(frozen=True, eq=False)
class Constant:
    """Constant array: a parameter, which has a name, or one that the function made with NumPy."""

    array: Array
    name: str | None


Source = Input | Result | Constant
Operand = Source | int | float | None


class Step(NamedTuple):
    """Operation call of a trace."""

    op: str
    operands: tuple[Operand, ...]
    dtype: np.dtype[Any] | None  # that its array operands were promoted to; None where they keep their own
    params: dict[str, Any]
    shapes: tuple[Shape, ...]  # of the results
    dtypes: tuple[np.dtype[Any], ...]
    scope: str  # the dotted name of the module that called it


class Trace(NamedTuple):
    """Trace of one run of a function."""

    inputs: tuple[Shape, ...]
    steps: list[Step]
    outputs: list[Source]


class _Known(NamedTuple):
    """Origin of an array, valid while it lives and is not changed."""

    array: weakref.ref[Array]
    source: Source
    storage: Storage
    version: int


class Recorder(Observer):
    """Observer that records the steps of a running function.

    Args:
        names: the names of parameters and buffers, by the identity of their arrays.
        written: the names of operations to be kept; the others are replaced by their decomposition.
    """

    def __init__(self, names: Mapping[int, str], written: Container[str]) -> None:
        self.steps: list[Step] = []
        self._names = names
        self._written = written
        self._known: dict[int, _Known] = {}

    def run(self, function: Callable[..., Any], arguments: Sequence[Tensor | None]) -> Trace:
        """Run the function and return its trace."""
        given = [argument for argument in arguments if argument is not None]
        for position, argument in enumerate(given):
            self._know(argument, Input(position))
        with no_grad(), _watched_by(self):
            outputs, _ = flatten(function(*arguments))
        for output in outputs:
            if not isinstance(output, Tensor):
                raise TypeError(f"function: expected tensors as its results, got {type(output).__name__}")
        return Trace(tuple(argument.shape for argument in given), self.steps, [self._source(out) for out in outputs])

    def forward(
        self, op: Operation, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any], results: list[Tensor]
    ) -> None:
        if op.name not in self._written and op.decomposition is not None:
            parts, _ = flatten(op.decomposition(*args, **params))
            sources = [self._source(part) for part in parts]
        else:
            sources = [Result(len(self.steps), index) for index in range(len(results))]
            self.steps.append(self._step(op, args, values, params, results))
        for result, source in zip(results, sources, strict=True):
            self._know(result, source)

    def backward(self, node: Node, cotangents: Sequence[Any], gradients: Sequence[Any]) -> NoReturn:
        raise ValueError(f"function: it differentiates {node.name!r}, and derivatives cannot be exported to ONNX")

    def _step(
        self, op: Operation, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any], results: list[Tensor]
    ) -> Step:
        dtypes = {value.dtype for value in values if isinstance(value, np.ndarray)}
        return Step(
            op.name,
            tuple(self._operand(arg, value) for arg, value in zip(args, values, strict=True)),
            dtypes.pop() if len(dtypes) == 1 else None,
            params,
            tuple(result.shape for result in results),
            tuple(result.dtype for result in results),
            ".".join(_labels(scope.get())),
        )

    def _operand(self, arg: Any, value: Any) -> Operand:
        if isinstance(arg, Tensor):
            return self._source(arg)
        if isinstance(value, np.ndarray):
            return Constant(value, None)
        return value.item() if isinstance(value, np.generic) else value

    def _know(self, tensor: Tensor, source: Source) -> None:
        array = tensor.data
        key = id(array)
        if not isinstance(array, np.ndarray):
            raise ValueError("function: examples of a vmap cannot be exported to ONNX one by one")
        # The identity may be another array's as soon as this one is gone.
        alive = weakref.ref(array, lambda reference: self._forget(key, reference))
        self._known[key] = _Known(alive, source, tensor.storage, tensor.storage.version)

    def _forget(self, key: int, reference: weakref.ref[Array]) -> None:
        if key in self._known and self._known[key].array is reference:
            del self._known[key]

    def _source(self, tensor: Tensor) -> Source:
        known = self._known.get(id(tensor.data))
        if known is None:
            return Constant(tensor.data, self._names.get(id(tensor.data)))
        if known.storage.version != known.version:
            raise ValueError(
                "function: a tensor was changed in place, which ONNX cannot express; write x = x + 1 or where"
            )
        return known.source


@contextmanager
def _watched_by(recorder: Recorder) -> Iterator[None]:
    token = observers.set((*observers.get(), recorder))
    try:
        yield
    finally:
        observers.reset(token)


def _labels(scope: Scope | None) -> list[str]:
    """Names of the running modules, from the outermost to the innermost."""
    labels: list[str] = []
    while scope is not None:
        labels.insert(0, scope.label)
        scope = scope.parent
    return [label for label in labels if label]
