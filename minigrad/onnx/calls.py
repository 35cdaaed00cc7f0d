"""Operation call with its arguments in the graph, as the operator table reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.onnx.builder import Builder, Value
from minigrad.onnx.constants import Shape
from minigrad.onnx.sizes import Formula


@dataclass(frozen=True)
class Operation:
    """Operation call with its arguments in the graph: values, numbers, or None."""

    arguments: tuple[Value | Formula | int | float | None, ...]
    promoted: np.dtype[Any] | None
    params: Mapping[str, Any]
    shapes: tuple[Shape, ...]
    dtypes: tuple[np.dtype[Any], ...]


Row = Callable[[Builder, Operation], str | list[str]]


def operand(b: Builder, call: Operation, place: int, dtype: npt.DTypeLike | None = None) -> str:
    """Argument in the given dtype, or in the promoted dtype of all arguments."""
    argument = call.arguments[place]
    wanted = np.dtype(dtype or call.promoted or call.dtypes[0])
    if isinstance(argument, Value):
        return argument.name if argument.dtype == wanted else b.cast(argument.name, wanted)
    if isinstance(argument, Formula):
        number = b.scalar(argument)
        return number if wanted == np.int64 else b.cast(number, wanted)
    assert isinstance(argument, (bool, int, float))
    return b.constant(argument, wanted)


def operands(b: Builder, call: Operation, dtype: npt.DTypeLike | None = None) -> list[str]:
    return [operand(b, call, place, dtype) for place in range(len(call.arguments))]


def shape_of(call: Operation, place: int) -> Shape:
    argument = call.arguments[place]
    return argument.shape if isinstance(argument, Value) else ()


def whole(b: Builder, call: Operation) -> str:
    """First argument, in its own dtype."""
    return operand(b, call, 0, call.dtypes[0])


def plain(kind: str, dtype: npt.DTypeLike | None = None, **attributes: Any) -> Row:
    """ONNX operator of the same meaning, on arguments of one dtype."""
    return lambda b, call: b.node(kind, *operands(b, call, dtype), **attributes)
