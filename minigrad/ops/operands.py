"""Operand conversion: arguments of composite functions as tensors.

A composite function needs its arguments' shapes before it calls an operation, so it converts them to tensors itself.
Python's numbers, in nested lists too, then take the precision of the tensors beside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine.dtypes import SUPPORTED, default_float
from minigrad.engine.grad_mode import on_arrays
from minigrad.engine.promotion import beside
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.elementwise import astype
from minigrad.ops.joining import stack


def as_operand(x: Any, name: str = "x", others: tuple[Any, ...] = ()) -> Any:
    """Convert ``x`` to an operand with a shape and operators: a tensor, or an array inside a first-order derivative.

    Args:
        x: a tensor, an array, a number, or nested lists, which may contain tensors that stay connected to the graph.
        name: of the argument, for errors.
        others: the arguments beside it.

    Raises:
        TypeError: ``x`` has no numbers, or a dtype that tensors cannot have.
    """
    if isinstance(x, Tensor) or (isinstance(x, np.ndarray) and on_arrays.get() and x.dtype in SUPPORTED):
        return x
    if holds_tensors(x):
        return stack([as_operand(part, name, others) for part in x])
    return sharing(beside(others, x, name), x)


def as_operands(*optional: str, **given: Any) -> tuple[Any, ...]:
    """Convert all arguments of a function to operands, by name; those that are ``optional`` may be None.

    Raises:
        TypeError: an argument has no numbers, or a dtype that tensors cannot have; the message names it.
    """
    operands = []
    for name, x in given.items():
        if not isinstance(x, Tensor) and not (x is None and name in optional):
            x = as_operand(x, name, tuple(given.values()))
        operands.append(x)
    return tuple(operands)


def holds_tensors(obj: Any) -> bool:
    """True if nested lists contain tensors."""
    return isinstance(obj, (list, tuple)) and any(isinstance(part, Tensor) or holds_tensors(part) for part in obj)


def sharing(array: Array, source: Any) -> Tensor:
    """Tensor that shares an array owned by others."""
    result = Tensor(array)
    if array is source or array.base is not None:
        result.storage.foreign = True
    return result


def as_floats(*optional: str, **given: Any) -> tuple[Any, ...]:
    """Floating operands: :func:`as_operands` with integers and booleans as floats, so that arithmetic does not wrap."""
    operands = as_operands(*optional, **given)
    floats = {x.dtype for x in operands if x is not None and x.dtype.kind == "f"}
    dtype = np.result_type(*floats) if floats else default_float
    return tuple(x if x is None or x.dtype.kind == "f" else astype(x, dtype) for x in operands)
