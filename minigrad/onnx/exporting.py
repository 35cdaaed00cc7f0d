"""ONNX export of a function of tensors."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.engine.tensor import Array, Tensor, as_array
from minigrad.io import replace_file
from minigrad.nn.module import Module
from minigrad.onnx.builder import Builder, Value
from minigrad.onnx.calls import Operation
from minigrad.onnx.constants import Corner, Progression, Triangle
from minigrad.onnx.operators import TABLE
from minigrad.onnx.program import Argument, Call, Program
from minigrad.onnx.recording import Constant, Input, Recorder, Result, Trace
from minigrad.onnx.sizes import Sizes

if TYPE_CHECKING:
    import onnx

Axes = Mapping[int, str]


def export(
    function: Callable[..., Any],
    *example_inputs: Any,
    dynamic: Mapping[str, Axes] | Sequence[Axes] = (),
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    max_sizes: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """Export a module, or a function of tensors, as an ONNX model (opset 20), from the operations that run.

    The function is run several times, on examples of different sizes; what stays the same is the program, and what
    differs must follow from the sizes. Integer and boolean inputs are inputs of the model like all others. A module is
    run in evaluation mode. Parameters keep their dotted names; shared ones are stored once.

    What the function computes with NumPy instead of tensors, and branches that it takes by values, the engine does not
    see: arrays may depend on the inputs' sizes only.

    Args:
        function: tensors to a tensor, or to a tuple, list or dict of them. It may run with any values that the
            examples contain, in any order and number.
        example_inputs: arrays or tensors; None for an optional argument that is left out.
        dynamic: the axes of each input that may have any size, with a name for the size: by the input's name, or for
            the inputs in their order. Axes of one name have the same size.
        input_names: in place of the names of the function's parameters.
        output_names: in place of ``output``, or ``output_0``, ``output_1``, …
        max_sizes: the largest size by name; needed for tables with a row for each position.

    Returns:
        The model, checked by ``onnx.checker``.

    Raises:
        ModuleNotFoundError: ``onnx`` is not installed.
        ValueError: an operation cannot be written in ONNX, or something does not follow from the sizes; the message
            names the operation and the module.

    Example:
        >>> import minigrad as mg
        >>> layer = mg.nn.Linear(3, 2)
        >>> model = mg.onnx.export(layer, mg.ones((5, 3)), dynamic={"x": {0: "batch"}})
        >>> [node.op_type for node in model.graph.node]
        ['Transpose', 'MatMul', 'Add', 'Identity']
    """
    arrays = [None if value is None else as_array(value) for value in example_inputs]
    names = _input_names(function, arrays, input_names)
    given = [array for array in arrays if array is not None]
    axes = _axes(names, given, dynamic)
    sizes = Sizes(list(dict.fromkeys(name for of in axes for name in of.values())), max_sizes or {})
    module = function if isinstance(function, Module) else getattr(function, "__self__", None)
    parameters: dict[int, str] = {}
    if isinstance(module, Module):
        parameters = {id(tensor.data): name for name, tensor in module.state_dict().items()}
    random = np.random.default_rng(0)

    def run(of: Mapping[str, int]) -> Trace:
        examples = iter([_resized(array, own, of, random) for array, own in zip(given, axes, strict=True)])
        arguments = [None if array is None else next(examples) for array in arrays]
        return Recorder(parameters, TABLE).run(function, arguments)

    with module.evaluating() if isinstance(module, Module) else nullcontext():
        program = Program(sizes, run)
    if unread := [name for place, name in enumerate(names) if Input(place) not in program.read]:
        raise ValueError(
            f"function: no operation reads {', '.join(unread)}; the engine does not see NumPy's computations"
        )
    return _written(program, names, given, output_names, type(function).__name__)


def save(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, replaced only once the new one is complete.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    replace_file(Path(path), model.SerializeToString())


# Arguments


def _input_names(
    function: Callable[..., Any], arrays: Sequence[Array | None], names: Sequence[str] | None
) -> list[str]:
    """Names of the inputs that are not omitted."""
    given = [place for place, array in enumerate(arrays) if array is not None]
    if names is None:
        signature = inspect.signature(function.forward if isinstance(function, Module) else function)
        parameters = [
            p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        return [parameters[place].name if place < len(parameters) else f"input_{place}" for place in given]
    if len(names) != len(given) or len(set(names)) < len(names):
        raise ValueError(f"input_names: expected {len(given)} different names, got {list(names)}")
    return list(names)


def _axes(names: Sequence[str], given: Sequence[Array], dynamic: Mapping[str, Axes] | Sequence[Axes]) -> list[Axes]:
    """Dynamic axes of each input."""
    by_name = dynamic if isinstance(dynamic, Mapping) else dict(zip(names, dynamic, strict=False))
    if not isinstance(dynamic, Mapping) and len(dynamic) > len(names):
        raise ValueError(f"dynamic: expected at most {len(names)} inputs' axes, got {len(dynamic)}")
    if unknown := by_name.keys() - set(names):
        raise ValueError(f"dynamic: expected names of inputs ({', '.join(names)}), got {', '.join(sorted(unknown))}")
    found = [by_name.get(name, {}) for name in names]
    for name, array, axes in zip(names, given, found, strict=True):
        for axis in axes:
            if not 0 <= axis < array.ndim:
                raise ValueError(f"dynamic: expected axes 0 to {array.ndim - 1} of {name}, got {axis}")
    return found


def _resized(example: Array, axes: Axes, sizes: Mapping[str, int], random: np.random.Generator) -> Tensor:
    """Example input resized, with the example's values in another order in each run."""
    shape = [sizes[axes[axis]] if axis in axes else size for axis, size in enumerate(example.shape)]
    values = random.permutation(np.unique(example) if example.size else np.zeros(1, example.dtype))
    return Tensor(random.permutation(np.resize(values, math.prod(shape))).reshape(shape))


# Writing


def _written(
    program: Program, names: Sequence[str], given: Sequence[Array], output_names: Sequence[str] | None, title: str
) -> onnx.ModelProto:
    builder = Builder()
    inputs = [
        builder.input(name, shape, array.dtype) for name, shape, array in zip(names, program.inputs, given, strict=True)
    ]
    results: dict[Result, Value] = {}

    def value(argument: Argument) -> Any:
        match argument:
            case Input(position):
                return inputs[position]
            case Result():
                return results[argument]
            case Constant(array, name):
                return Value(builder.constant(array, array.dtype, name), array.shape, array.dtype)
            case Progression() | Triangle() | Corner():
                return Value(builder.sized(argument), argument.shape, argument.dtype)
            case _:
                return argument

    for number, call in program.calls.items():
        builder.scope = call.scope
        written = _write(builder, call, tuple(map(value, call.arguments)))
        for index, (name, shape, dtype) in enumerate(zip(written, call.shapes, call.dtypes, strict=True)):
            results[Result(number, index)] = Value(name, shape, dtype)
    builder.scope = ""
    outputs = [value(output) for output in program.outputs]
    for name, output in zip(_output_names(len(outputs), output_names), outputs, strict=True):
        builder.output(name, output)
    return builder.finish(title)


def _write(builder: Builder, call: Call, arguments: tuple[Any, ...]) -> list[str]:
    where = f" (in {call.scope})" if call.scope else ""
    if call.op not in TABLE:
        raise ValueError(
            f"{call.op!r}{where} cannot be written in ONNX yet; a row for it in the table of minigrad.onnx.operators "
            "would say how"
        )
    operation = Operation(arguments, call.dtype, call.params, call.shapes, call.dtypes)
    try:
        written = TABLE[call.op](builder, operation)
    except ValueError as error:
        raise ValueError(f"{call.op!r}{where}: {error}") from None
    return [written] if isinstance(written, str) else written


def _output_names(count: int, names: Sequence[str] | None) -> Sequence[str]:
    if names is None:
        return ["output"] if count == 1 else [f"output_{place}" for place in range(count)]
    if len(names) != count or len(set(names)) < count:
        raise ValueError(f"output_names: expected {count} different names, got {list(names)}")
    return names
