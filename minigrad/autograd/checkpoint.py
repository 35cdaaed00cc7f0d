"""Activation checkpointing: save a function's inputs only, and recompute intermediate values in the backward pass.

Chen, Xu, Zhang and Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.engine.grad_mode import derivative_on_arrays, enable_grad, is_grad_enabled
from minigrad.engine.tensor import Observer, Operation, SavedValues, Storage, Tensor, observers, saved_values_hook
from minigrad.ops.autocast import autocast, product_precision
from minigrad.random import Generator, replay, watch_draws


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Checkpoint a call: ``function(*args, **kwargs)`` without saved intermediate values.

    The first derivative that needs one runs the function again, with the same random draws and precision of products,
    so that values and gradients are those of the plain call; what it changes in place, as batch norm its running
    averages, stays as the first run left it. The graph itself is the same too: tensors that the function closes over
    get their gradients, and derivatives can be differentiated again.

    Raises:
        RuntimeError: in the backward pass, if the function ran other operations the second time, or a tensor that it
            read was changed in place in between.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> mg.autograd.checkpoint(lambda x: x * x * x, x).sum().backward()
        >>> x.grad
        tensor([ 3., 12.])
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    precision = autocast(enabled=product_precision.get() is not None)
    segment = _Segment(lambda: function(*args, **kwargs), precision)
    with _attached(segment), watch_draws() as draws:
        result = function(*args, **kwargs)
    segment.finish(draws)
    return result


class _Trace(Observer):
    """Trace of a function: its operations, their inputs, and the values that their nodes would save."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.storages: dict[int, Storage] = {}
        self.changed: dict[int, Storage] = {}
        self.saved: list[SavedValues] = []

    def forward(
        self, op: Operation, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any], results: list[Tensor]
    ) -> None:
        inputs, options = [_fingerprint(arg) for arg in args], [_fingerprint(value) for value in params.values()]
        self.steps.append((op.name, inputs, options))
        self.storages |= {id(arg.storage): arg.storage for arg in args if isinstance(arg, Tensor)}

    def write(self, tensor: Tensor) -> None:
        self.changed[id(tensor.storage)] = tensor.storage

    def save(self, values: SavedValues) -> Callable[[], SavedValues]:
        self.saved.append(values)
        return lambda: values


class _Rerun(_Trace):
    """Recomputation: the trace of the second run; in-place changes to outside tensors are not applied again."""

    def __init__(self, changed: dict[int, Storage]) -> None:
        super().__init__()
        self.outside = changed  # by the first run; what a run makes for itself is another object each time
        self.before: list[tuple[Storage, int, Any, Any]] = []

    def write(self, tensor: Tensor) -> None:
        if id(tensor.storage) in self.outside:
            self.before.append((tensor.storage, tensor.storage.version, tensor.data, tensor.data.copy()))

    def undo_changes(self) -> None:
        for storage, version, data, values in reversed(self.before):
            data[...] = values
            storage.version = version


def _fingerprint(value: Any) -> Any:
    """Signature of a value: shape and dtype of a tensor, a checksum of an array, else its ``repr``."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, zlib.crc32(np.ascontiguousarray(value).tobytes())
    return repr(value)


class _Segment(_Trace):
    """Checkpointed segment of the graph: its nodes' saved values are released until the backward pass."""

    def __init__(self, run: Callable[[], Any], precision: autocast) -> None:
        super().__init__()
        self.run = run
        self.precision = precision
        self.count = 0
        self.draws: dict[Generator, Any] = {}
        self.stamps: list[tuple[Storage, int]] = []
        self.recomputed: dict[int, SavedValues] = {}

    def save(self, values: SavedValues) -> Callable[[], SavedValues]:
        number, self.count = self.count, self.count + 1
        return lambda: self.recall(number)

    def finish(self, draws: dict[Generator, Any]) -> None:
        """End the forward run: record the versions of the tensors that it read."""
        self.draws = draws
        self.stamps = [(storage, storage.version) for storage in self.storages.values()]

    def recall(self, number: int) -> SavedValues:
        if number not in self.recomputed:
            self.compute()
        return self.recomputed.pop(number)

    def compute(self) -> None:
        """Rerun the function and capture the values that its nodes save."""
        if any(storage.version != stamp for storage, stamp in self.stamps):
            raise RuntimeError("checkpoint: a tensor that the function reads was changed in place before backward")
        again = _Rerun(self.changed)
        try:
            with _attached(again), replay(self.draws), enable_grad(), derivative_on_arrays(False), self.precision:
                self.run()
        finally:
            again.undo_changes()
        if again.steps != self.steps:
            raise RuntimeError("checkpoint: the function ran other operations when it was run again for the derivative")
        self.recomputed = dict(enumerate(again.saved))


@contextmanager
def _attached(trace: _Trace) -> Iterator[None]:
    hook, watching = saved_values_hook.set(trace.save), observers.set((*observers.get(), trace))
    try:
        yield
    finally:
        observers.reset(watching)
        saved_values_hook.reset(hook)
