"""Several runs of one function at different sizes, read side by side as one program for all sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from minigrad.onnx.constants import Shape, Sized, sized
from minigrad.onnx.recording import Constant, Input, Operand, Result, Source, Trace
from minigrad.onnx.sizes import Formula, Size, Sizes
from minigrad.tensor import Array

Argument = Input | Result | Constant | Sized | Formula | int | float | None


class Params(dict[str, Any]):
    """An operation's own parameters, compared when they are asked for: what nobody needs may differ."""

    def __init__(self, compare: Callable[[str], Any]) -> None:
        self._compare = compare

    def __missing__(self, name: str) -> Any:
        self[name] = self._compare(name)
        return self[name]


class Call(NamedTuple):
    """One operation at any size."""

    op: str
    arguments: tuple[Argument, ...]
    dtype: np.dtype[Any] | None
    params: Params
    shapes: tuple[Shape, ...]
    dtypes: tuple[np.dtype[Any], ...]
    scope: str


class Program:
    """What all runs of a function have in common.

    Args:
        sizes: the runs' sizes.
        run: runs the function with sizes given by name, and returns what it did.
        largest: the largest size of each axis for which the caller has named one.
    """

    def __init__(self, sizes: Sizes, run: Callable[[Mapping[str, int]], Trace], largest: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._run = run
        self._largest = largest
        self._traces = [run(of) for of in sizes.runs]
        for of, trace in zip(sizes.runs, self._traces, strict=True):
            self._check_steps(of, trace)
        first = self._traces[0]
        self.inputs = [
            self._shape("the inputs", shapes) for shapes in zip(*(t.inputs for t in self._traces), strict=True)
        ]
        self.outputs = [
            self._argument(f"output {place}", partial(_output, place)) for place in range(len(first.outputs))
        ]
        self.calls = {number: self._call(number) for number in _needed(first)}
        self.read = {a for call in self.calls.values() for a in call.arguments if isinstance(a, Input)}
        self.read |= {output for output in self.outputs if isinstance(output, Input)}

    def _check_steps(self, sizes: Mapping[str, int], trace: Trace) -> None:
        expected = [step.op for step in self._traces[0].steps]
        found = [step.op for step in trace.steps]
        if found != expected or len(trace.outputs) != len(self._traces[0].outputs):
            pairs = enumerate(zip(expected, found, strict=False))
            number = next((n for n, (a, b) in pairs if a != b), min(len(expected), len(found)))
            raise ValueError(
                f"function: at the sizes {dict(sizes)} it does something else than at {self.sizes.runs[0]} (from step "
                f"{number} on, {len(found)} steps instead of {len(expected)}): it branches or loops by a dynamic size "
                "or by values"
            )

    @cached_property
    def _at_largest(self) -> Trace:
        sizes = {**self.sizes.runs[0], **self._largest}
        trace = self._run(sizes)
        self._check_steps(sizes, trace)
        return trace

    def _call(self, number: int) -> Call:
        steps = [trace.steps[number] for trace in self._traces]
        first = steps[0]
        where = f"{first.op!r}" + (f" in {first.scope}" if first.scope else "")
        arguments = tuple(
            self._argument(where, partial(_operand, number, place)) for place in range(len(first.operands))
        )
        params = Params(lambda name: self._param(f"its {name}", [step.params[name] for step in steps]))
        shapes = tuple(self._shape(where, shapes) for shapes in zip(*(step.shapes for step in steps), strict=True))
        return Call(first.op, arguments, first.dtype, params, shapes, first.dtypes, first.scope)

    def _argument(self, where: str, of: Callable[[Trace], Operand]) -> Argument:
        """What a step reads, or what is given back; ``of`` finds it in a trace."""
        operands = [of(trace) for trace in self._traces]
        first = operands[0]
        if isinstance(first, (int, float)):
            found: Argument = self._param(f"a number in {where}", operands)
            return found
        arrays = [operand.array for operand in operands if isinstance(operand, Constant)]
        if not isinstance(first, Constant) or len(arrays) < len(operands):
            if any(operand != first for operand in operands):
                raise ValueError(f"{where}: it reads something else at other sizes")
            return first
        if all(_same(array, first.array) for array in arrays):
            return first
        try:
            return sized(arrays, self.sizes, lambda: self._largest_array(arrays, of))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _largest_array(self, arrays: Sequence[Array], of: Callable[[Trace], Operand]) -> Array:
        shape = self._shape("an array", [array.shape for array in arrays])
        unnamed = {name for size in shape if isinstance(size, Formula) for name in size.names} - self._largest.keys()
        if unnamed:
            raise ValueError(
                f"an array's size depends on {', '.join(sorted(unnamed))}; give the largest that can occur, as in "
                f"max_sizes={{'{min(unnamed)}': 512}}"
            )
        operand = of(self._at_largest)
        assert isinstance(operand, Constant)
        return operand.array

    def _shape(self, where: str, shapes: Sequence[tuple[int, ...]]) -> Shape:
        if len({len(shape) for shape in shapes}) > 1:
            raise ValueError(f"{where}: the number of dimensions differs from size to size")
        return tuple(self._param(f"a shape of {where}", numbers) for numbers in zip(*shapes, strict=True))

    def _param(self, what: str, values: Sequence[Any]) -> Any:
        """One value for all sizes: what does not depend on them stays what it is."""
        first = values[0]
        if isinstance(first, (tuple, list)) and len({len(value) for value in values}) == 1:
            return tuple(self._param(what, parts) for parts in zip(*values, strict=True))
        if isinstance(first, slice):
            bounds = [
                self._param(what, parts) for parts in zip(*((v.start, v.stop, v.step) for v in values), strict=True)
            ]
            return slice(*bounds)
        if all(_same(value, first) for value in values):
            return first
        if all(isinstance(value, (int, float, np.number)) and float(value).is_integer() for value in values):
            size: Size | None = self.sizes.formula([int(value) for value in values])
            if size is not None:
                return size
        raise ValueError(
            f"{what} is {', '.join(map(str, values))} at the sizes {', '.join(str(of) for of in self.sizes.runs)}: "
            "neither a product of sizes nor a sum of their multiples"
        )


def _operand(step: int, place: int, trace: Trace) -> Operand:
    return trace.steps[step].operands[place]


def _output(place: int, trace: Trace) -> Operand:
    return trace.outputs[place]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b) or (a != a and b != b)


def _needed(trace: Trace) -> list[int]:
    """The steps that the outputs depend on, in their order."""
    needed: set[int] = set()
    stack: list[Source | Any] = list(trace.outputs)
    while stack:
        source = stack.pop()
        if isinstance(source, Result) and source.step not in needed:
            needed.add(source.step)
            stack.extend(trace.steps[source.step].operands)
    return sorted(needed)
