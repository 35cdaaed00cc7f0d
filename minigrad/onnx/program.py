"""Symbolic program: several runs of one function at different sizes, merged into one for all sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.onnx.constants import Shape, Sized, sized
from minigrad.onnx.recording import Constant, Input, Operand, Result, Source, Step, Trace
from minigrad.onnx.sizes import Formula, Size, Sizes

Argument = Input | Result | Constant | Sized | Formula | int | float | None


class Params(dict[str, Any]):
    """Parameters of an operation, compared on access: those that are not used may differ."""

    def __init__(self, compare: Callable[[str], Any]) -> None:
        self._compare = compare

    def __missing__(self, name: str) -> Any:
        self[name] = self._compare(name)
        return self[name]


class Call(NamedTuple):
    """Operation call at any size."""

    op: str
    arguments: tuple[Argument, ...]
    dtype: np.dtype[Any] | None
    params: Params
    shapes: tuple[Shape, ...]
    dtypes: tuple[np.dtype[Any], ...]
    scope: str


class Program:
    """Program that all runs of a function have in common.

    Args:
        sizes: the runs' sizes.
        run: runs the function with sizes given by name, and returns what it did.
    """

    def __init__(self, sizes: Sizes, run: Callable[[Mapping[str, int]], Trace]) -> None:
        self._sizes = sizes
        traces = [run(of) for of in sizes.runs]
        self._check_steps(traces)
        self.inputs = [self._shape("the inputs", shapes) for shapes in _across(trace.inputs for trace in traces)]
        self.outputs = [
            self._argument(f"output {place}", sources)
            for place, sources in enumerate(_across(trace.outputs for trace in traces))
        ]
        self.calls = {number: self._call([trace.steps[number] for trace in traces]) for number in _needed(traces[0])}
        self.read = {a for call in self.calls.values() for a in call.arguments if isinstance(a, Input)}
        self.read |= {output for output in self.outputs if isinstance(output, Input)}

    def _check_steps(self, traces: Sequence[Trace]) -> None:
        expected = [step.op for step in traces[0].steps]
        for sizes, trace in zip(self._sizes.runs, traces, strict=True):
            found = [step.op for step in trace.steps]
            if found != expected or len(trace.outputs) != len(traces[0].outputs):
                pairs = enumerate(zip(expected, found, strict=False))
                number = next((n for n, (a, b) in pairs if a != b), min(len(expected), len(found)))
                raise ValueError(
                    f"function: at the sizes {sizes} it runs other operations than at {self._sizes.runs[0]} (from step "
                    f"{number} on, {len(found)} steps instead of {len(expected)}): it branches or loops by a dynamic "
                    "size or by values"
                )

    def _call(self, steps: Sequence[Step]) -> Call:
        first = steps[0]
        where = f"{first.op!r}" + (f" in {first.scope}" if first.scope else "")
        arguments = tuple(self._argument(where, operands) for operands in _across(step.operands for step in steps))
        params = Params(lambda name: self._param(f"its {name}", [step.params[name] for step in steps]))
        shapes = tuple(self._shape(where, shapes) for shapes in _across(step.shapes for step in steps))
        return Call(first.op, arguments, first.dtype, params, shapes, first.dtypes, first.scope)

    def _argument(self, where: str, operands: Sequence[Operand]) -> Argument:
        """Argument of a step, or output of the program."""
        first = operands[0]
        if isinstance(first, (int, float)):
            found: Argument = self._param(f"a number in {where}", operands)
            return found
        constants = [operand for operand in operands if isinstance(operand, Constant)]
        if not isinstance(first, Constant) or len(constants) < len(operands):
            if any(operand != first for operand in operands):
                raise ValueError(f"{where}: it reads something else at other sizes")
            return first
        if all(_same(constant.array, first.array) for constant in constants):
            return first
        try:
            return sized([constant.array for constant in constants], self._sizes)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _shape(self, where: str, shapes: Sequence[tuple[int, ...]]) -> Shape:
        if len({len(shape) for shape in shapes}) > 1:
            raise ValueError(f"{where}: the number of dimensions differs from size to size")
        return tuple(self._param(f"a shape of {where}", numbers) for numbers in _across(shapes))

    def _param(self, what: str, values: Sequence[Any]) -> Any:
        """Parameter at any size: a formula, or the value itself where it is constant."""
        first = values[0]
        if isinstance(first, (tuple, list)) and len({len(value) for value in values}) == 1:
            return tuple(self._param(what, parts) for parts in _across(values))
        if isinstance(first, slice):
            bounds = [self._param(what, parts) for parts in _across((v.start, v.stop, v.step) for v in values)]
            return slice(*bounds)
        if all(_same(value, first) for value in values):
            return first
        if all(isinstance(value, (int, float, np.number)) and float(value).is_integer() for value in values):
            size: Size | None = self._sizes.formula([int(value) for value in values])
            if size is not None:
                return size
        raise ValueError(
            f"{what} is {', '.join(map(str, values))} at the sizes {', '.join(str(of) for of in self._sizes.runs)}: "
            "neither a product of sizes nor a sum of their multiples"
        )


def _across(rows: Iterable[Sequence[Any]]) -> Iterable[tuple[Any, ...]]:
    """Transpose of rows: the first items of all, then the second ones, and so on."""
    return zip(*rows, strict=True)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b) or (a != a and b != b)


def _needed(trace: Trace) -> list[int]:
    """Live steps: those that the outputs depend on, in their order."""
    needed: set[int] = set()
    stack: list[Source | Any] = list(trace.outputs)
    while stack:
        source = stack.pop()
        if isinstance(source, Result) and source.step not in needed:
            needed.add(source.step)
            stack.extend(trace.steps[source.step].operands)
    return sorted(needed)
