"""In-place operations: assignment, and ``+=`` and the like.

Without recording, the buffer itself is written to, as in NumPy: views see the change, and graphs that still need the
old values raise an error at backward. While gradients are recorded, the tensor gets new storage and a new graph node
instead; what was computed from it before keeps the old values and its right derivatives.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.engine.grad_mode import is_grad_enabled
from minigrad.engine.tensor import Tensor, Tracer, write_to
from minigrad.ops.elementwise import astype
from minigrad.ops.index_parts import is_basic, plain_index
from minigrad.ops.indexing import getitem, setitem


def assign(target: Tensor, index: Any, value: Any) -> None:
    """Assignment ``target[index] = value``; the value is cast to the target's dtype and broadcast.

    Raises:
        RuntimeError: it would be recorded, and the target is a leaf that requires a gradient, or shows the elements of
            another tensor, which would not see the change.
    """
    if isinstance(value, Tensor) and value.storage is target.storage and is_basic(index):
        parent, place = value.taken
        if parent is target and place == index:
            return  # the view itself: y[0] *= 2 has reached y already
    if _is_functional(target, value):
        _replace(target, setitem(target, index, value))
        return
    target.check_current()
    write_to(target)
    target.data[plain_index(index)] = value.data if isinstance(value, Tensor) else value


def updated(operation: Callable[[Any, Any], Tensor]) -> Callable[[Tensor, Any], Tensor]:
    """In-place form of a binary operation."""

    def update(target: Tensor, other: Any) -> Tensor:
        result = operation(target, other)
        if result.shape != target.shape:
            raise ValueError(f"the result's shape {result.shape} does not fit in place into {target.shape}")
        if not np.can_cast(result.dtype, target.dtype, "same_kind"):
            raise TypeError(f"the result's dtype {result.dtype} cannot be cast in place to {target.dtype}")
        if _is_functional(target, other):
            _replace(target, astype(result, target.dtype, copy=False))
        else:
            target.check_current()
            write_to(target)
            target.data[...] = result.data
        return target

    return update


def _is_functional(target: Tensor, value: Any) -> bool:
    """True if the change must be recorded in the graph, or by a tracer, instead of written to memory."""
    if isinstance(target.data, Tracer) or (isinstance(value, Tensor) and isinstance(value.data, Tracer)):
        return True
    return is_grad_enabled() and (target.requires_grad or (isinstance(value, Tensor) and value.requires_grad))


def _replace(target: Tensor, result: Tensor) -> None:
    """Give the target the result's node in the graph; if it is a view of another tensor, update that one too."""
    if target.node is None and target.requires_grad and is_grad_enabled():
        raise RuntimeError(
            "in place: this leaf requires a gradient, so its change would be lost; change it under no_grad(), or a copy"
        )
    target.check_current()
    parent, index = target.taken
    if parent is not None:
        assign(parent, index, result)
        _become(target, getitem(parent, index))
        target.view_of(parent)
        return
    if target.base is not None:
        raise RuntimeError(
            "in place: this tensor is a reshaped or transposed view of another one, which would not see the recorded "
            "change; change that one, or a copy"
        )
    target.storage.replaced = True  # earlier views of it become stale
    _become(target, result)


def _become(target: Tensor, result: Tensor) -> None:
    retained = target.node.retained if target.node is not None else None
    if retained and result.node is not None and retained.pop(target.index, None) is not None:
        result.node.retained = {result.index: weakref.ref(target)}
    target.data, target.storage = result.data, result.storage
    target.node, target.index, target._requires_grad = result.node, result.index, result.requires_grad
