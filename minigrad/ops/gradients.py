"""Gradients in PyTorch's terms: backward, grad, and hooks. Public in :mod:`minigrad.autograd`, methods of tensors."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.engine.backward import backward_pass
from minigrad.engine.primitive import cast
from minigrad.engine.tensor import Hook, Tensor, as_array

Tensors = Tensor | Sequence[Tensor]


def _several(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _cotangents(outputs: list[Tensor], given: list[Any]) -> list[Tensor]:
    """Initial gradient of each output: as given, or 1 for a scalar."""
    if len(given) != len(outputs):
        raise ValueError(f"grad_outputs: expected one for each of the {len(outputs)} outputs, got {len(given)}")
    cotangents = []
    for output, value in zip(outputs, given, strict=True):
        if not isinstance(output, Tensor):
            raise TypeError(f"outputs: expected tensors, got {type(output).__name__}")
        if not output.requires_grad:
            raise RuntimeError(
                "outputs: this tensor does not require a gradient and was not computed from one that does"
            )
        shape, dtype = output.data.shape, output.data.dtype
        if value is None:
            if output.data.size != 1:
                raise RuntimeError(f"gradient: needed for an output that is not a scalar; this one is {shape}")
            cotangents.append(Tensor(np.ones(shape, dtype)))
            continue
        cotangent = value if isinstance(value, Tensor) else Tensor(as_array(value))
        if cotangent.shape != shape:
            raise ValueError(f"gradient: expected the output's shape {shape}, got {cotangent.shape}")
        cotangents.append(cotangent if cotangent.dtype == dtype else cast(cotangent, dtype))
    return cotangents


def zero_grad(tensors: Iterable[Tensor], set_to_none: bool) -> None:
    """Set all gradients to None, or those that there are to zeros."""
    for tensor in tensors:
        keep = tensor.grad is not None and not set_to_none
        tensor.grad = Tensor(np.zeros(tensor.shape, tensor.dtype)) if keep else None


def backward(
    tensors: Tensors, gradients: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Accumulate the gradients of the tensors into ``grad`` of every leaf they were computed from.

    Args:
        tensors: one or several outputs.
        gradients: for each, its initial gradient, an array of its shape; may be omitted for scalars.
        retain_graph: keep the graph for another backward pass; defaults to ``create_graph``.
        create_graph: record the derivatives too, so that they can be differentiated.

    Raises:
        RuntimeError: nothing requires a gradient, a non-scalar has no ``gradients``, the graph was freed by an earlier
            backward pass, or a tensor it needs was changed in place.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> mg.autograd.backward((x * x).sum())
        >>> x.grad
        tensor([2., 4., 6.])
    """
    outputs = _several(tensors)
    cotangents = _cotangents(outputs, [None] * len(outputs) if gradients is None else _several(gradients))
    retain = create_graph if retain_graph is None else retain_graph
    backward_pass(outputs, cotangents, retain_graph=retain, create_graph=create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients of the outputs with respect to the inputs, leaves or not; ``grad`` attributes are unchanged.

    Args:
        outputs: one or several tensors.
        inputs: one or several tensors that require a gradient.
        grad_outputs: for each output, its initial gradient; may be omitted for scalars.
        retain_graph: keep the graph for another pass; defaults to ``create_graph``.
        create_graph: record the derivatives too, so that they can be differentiated.
        allow_unused: give None for an input that the outputs do not depend on, instead of an error.

    Returns:
        One gradient for each input, always as a tuple.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> (slope,) = mg.autograd.grad(x**3, x, create_graph=True)
        >>> mg.autograd.grad(slope, x)
        (tensor(18.),)
    """
    sources = _several(outputs)
    targets = _several(inputs)
    for target in targets:
        if not isinstance(target, Tensor) or not target.requires_grad:
            raise RuntimeError("inputs: expected tensors that require a gradient")
    cotangents = _cotangents(sources, [None] * len(sources) if grad_outputs is None else _several(grad_outputs))
    retain = create_graph if retain_graph is None else retain_graph
    gradients = backward_pass(sources, cotangents, targets, retain_graph=retain, create_graph=create_graph)
    if not allow_unused and any(gradient is None for gradient in gradients):
        position = next(i for i, gradient in enumerate(gradients) if gradient is None)
        raise RuntimeError(f"inputs: number {position} was not used to compute the outputs; pass allow_unused=True")
    return tuple(gradients)


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
        return _registered(_leaf_hooks(tensor)[0], hook)
    tensor.node.hooks = tensor.node.hooks if tensor.node.hooks is not None else {}
    return _registered(tensor.node.hooks.setdefault(tensor.index, []), hook)


def register_post_accumulate_grad_hook(tensor: Tensor, hook: Callable[[Tensor], None]) -> HookHandle:
    """Register a hook on a leaf: ``hook(tensor)`` is called when a backward pass has completed its ``grad``.

    That is as soon as the derivative of the last operation that uses the leaf is taken, while the pass goes on with
    other parts of the graph: an update, or a message to another process, need not wait for its end.

    Returns:
        A handle; ``handle.remove()`` takes the hook off again.

    Raises:
        RuntimeError: the tensor is no leaf, or does not require a gradient.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> handle = x.register_post_accumulate_grad_hook(lambda leaf: print(leaf.grad))
        >>> (x * x).backward()
        tensor(6.)
    """
    if tensor.node is not None or not tensor.requires_grad:
        raise RuntimeError("register_post_accumulate_grad_hook: expected a leaf that requires a gradient")
    return _registered(_leaf_hooks(tensor)[1], hook)


def _leaf_hooks(tensor: Tensor) -> tuple[list[Hook], list[Callable[[Tensor], None]]]:
    tensor._hooks = tensor._hooks or ([], [])
    return tensor._hooks


def _registered(hooks: list[Any], hook: Any) -> HookHandle:
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
