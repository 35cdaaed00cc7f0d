"""Derivatives in PyTorch's words: :func:`backward`, :func:`grad`, hooks, and your own :class:`Function`."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad import graph
from minigrad.anomaly import detect_anomaly
from minigrad.checkpoint import checkpoint
from minigrad.graph import Hook, HookHandle
from minigrad.ops.function import Function
from minigrad.tensor import Tensor, as_array

__all__ = ["Function", "backward", "checkpoint", "detect_anomaly", "grad", "register_hook", "retain_grad"]

Tensors = Tensor | Sequence[Tensor]


def _several(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _cotangents(outputs: list[Tensor], given: list[Any]) -> list[Tensor]:
    """What each output's gradient starts from: as given, or 1 for a scalar."""
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
        if value is None:
            if output.size != 1:
                raise RuntimeError(f"gradient: needed for an output that is not a scalar; this one is {output.shape}")
            value = np.ones(output.shape, output.dtype)
        cotangent = value if isinstance(value, Tensor) else Tensor(as_array(value))
        if cotangent.shape != output.shape:
            raise ValueError(f"gradient: expected the output's shape {output.shape}, got {cotangent.shape}")
        cotangents.append(cotangent if cotangent.dtype == output.dtype else cotangent.astype(output.dtype))
    return cotangents


def backward(
    tensors: Tensors, gradients: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Add the gradient of the tensors to ``grad`` of every leaf they were computed from.

    Args:
        tensors: one or several outputs.
        gradients: for each, what to start from: an array of its shape; may be left out for scalars.
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
    graph.sweep(outputs, cotangents, retain_graph=retain, create_graph=create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the outputs with respect to the inputs, leaves or not; ``grad`` attributes stay as they are.

    Args:
        outputs: one or several tensors.
        inputs: one or several tensors that require a gradient.
        grad_outputs: for each output, what to start from; may be left out for scalars.
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
    gradients = graph.sweep(sources, cotangents, targets, retain_graph=retain, create_graph=create_graph)
    if not allow_unused and any(gradient is None for gradient in gradients):
        position = next(i for i, gradient in enumerate(gradients) if gradient is None)
        raise RuntimeError(f"inputs: number {position} was not used to compute the outputs; pass allow_unused=True")
    return tuple(gradients)


def register_hook(tensor: Tensor, hook: Hook) -> HookHandle:
    """Call ``hook(gradient)`` whenever the tensor's gradient has been computed.

    What the hook returns, unless None, takes the gradient's place.

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
    """Fill ``grad`` of a computed tensor too, as leaves have it filled."""
    if not tensor.requires_grad:
        raise RuntimeError("retain_grad: this tensor does not require a gradient")
    if tensor.node is not None:
        # Weakly, for a node must not keep its own result alive.
        tensor.node.retained = {**(tensor.node.retained or {}), tensor.index: weakref.ref(tensor)}
