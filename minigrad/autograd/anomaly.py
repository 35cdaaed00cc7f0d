"""Anomaly detection: the operation that first produced a NaN or an infinity."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Sequence
from contextvars import Token
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Node, Observer, Operation, Tensor, Tracer, observers

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class detect_anomaly(Observer):
    """Anomaly detection as a context: the first NaN or infinity is an error that names the operation and source line.

    Forward: an operation with finite inputs gave a result that is not. Backward: a derivative is not finite though
    everything that came into it was; the line is that of the forward operation. Every result is checked, so use it
    for debugging only.

    Raises:
        RuntimeError: in the block, where the value was computed.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([0.0, 1.0], requires_grad=True)
        >>> with mg.autograd.detect_anomaly():  # doctest: +ELLIPSIS
        ...     mg.sqrt(x).sum().backward()
        Traceback (most recent call last):
            ...
        RuntimeError: detect_anomaly: the derivative of 'sqrt' is inf for input 0; the operation ran at ...
    """

    def __init__(self) -> None:
        self._tokens: list[Token[tuple[Observer, ...]]] = []

    def __enter__(self) -> None:
        self._tokens.append(observers.set((*observers.get(), self)))

    def __exit__(self, *exception: object) -> None:
        observers.reset(self._tokens.pop())

    def forward(
        self, op: Operation, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any], results: list[Tensor]
    ) -> None:
        for result in results:
            kind = _new_nonfinite(result.data, values)
            if kind is not None:
                raise RuntimeError(f"detect_anomaly: '{op.name}' made {kind} at {_line()}")
            if result.node is not None:
                result.node.metadata = {**(result.node.metadata or {}), "line": _line()}

    def backward(self, node: Node, cotangents: Sequence[Any], gradients: Sequence[Any]) -> None:
        line = (node.metadata or {}).get("line")
        where = f"ran at {line}" if line else "was recorded outside of detect_anomaly"
        for position, gradient in enumerate(gradients):
            kind = _new_nonfinite(gradient, cotangents)
            if kind is not None:
                raise RuntimeError(
                    f"detect_anomaly: the derivative of '{node.name}' is {kind} for input {position}; the operation "
                    f"{where}"
                )


def _line() -> str:
    """Source line of the innermost stack frame outside this package."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    file, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, number).strip()
    return f"{file}:{number}" + (f": {text}" if text else "")


def _new_nonfinite(value: Any, sources: Sequence[Any]) -> str | None:
    """New non-finite value: "nan" if no source has one, "inf" or "-inf" if all sources are finite, else None."""
    numbers, given = _floats(value), [_floats(source) for source in sources]
    if np.isnan(numbers).any() and not any(np.isnan(source).any() for source in given):
        return "nan"
    if np.isinf(numbers).any() and all(np.isfinite(source).all() for source in given):
        return "inf" if (numbers == np.inf).any() else "-inf"
    return None


def _floats(value: Any) -> Array:
    """Floating-point values of a tensor, array or number; none for anything else."""
    data = value.data if isinstance(value, Tensor) else value
    array = data.values() if isinstance(data, Tracer) else np.asarray(data)
    return array if array.dtype.kind == "f" else np.empty(0)
