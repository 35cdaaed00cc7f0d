"""Gradient hooks, and retained gradients of non-leaf tensors."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from minigrad.engine.tensor import Hook, Tensor


class HookHandle:
    """Handle of a registered hook: ``remove()`` takes the hook off again, as does the end of a ``with`` block."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove: Callable[[], None] | None = remove

    def remove(self) -> None:
        if self._remove is not None:
            self._remove()
        self._remove = None

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register_hook(tensor: Tensor, hook: Hook) -> HookHandle:
    """Register a backward hook: ``hook(gradient)`` is called whenever the tensor's gradient has been computed.

    The hook's return value, unless None, replaces the gradient.

    Returns:
        A handle; ``handle.remove()`` takes the hook off again.
    """
    if not tensor.requires_grad:
        raise RuntimeError("register_hook: this tensor does not require a gradient")
    if tensor.node is None:
        hooks = tensor._hooks = tensor._hooks if tensor._hooks is not None else []
    else:
        tensor.node.hooks = tensor.node.hooks if tensor.node.hooks is not None else {}
        hooks = tensor.node.hooks.setdefault(tensor.index, [])
    hooks.append(hook)

    def remove() -> None:
        if hook in hooks:
            hooks.remove(hook)

    return HookHandle(remove)


def retain_grad(tensor: Tensor) -> None:
    """Retain ``grad`` of a non-leaf tensor."""
    if not tensor.requires_grad:
        raise RuntimeError("retain_grad: this tensor does not require a gradient")
    if tensor.node is not None:
        # A weak reference: a node must not keep its own result alive.
        tensor.node.retained = {**(tensor.node.retained or {}), tensor.index: weakref.ref(tensor)}
