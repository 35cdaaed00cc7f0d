"""Custom autograd functions, as in PyTorch: a class whose forward and backward share a context."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.engine.backward import read_only
from minigrad.engine.grad_mode import derivative_on_arrays, is_grad_enabled, no_grad
from minigrad.engine.primitive import connected, independent, unbroadcast
from minigrad.engine.tensor import Node, Tensor, Tracer, as_array, serials


class Context:
    """Context shared by forward and backward: saved tensors, and any attribute set on it."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple[Tensor | None, ...] = ()
        self.constant: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Save inputs and results for the backward, checked for in-place changes; other values go in attributes."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Mark results that have no gradient."""
        self.constant = tensors


class Function:
    """Custom operation with its own derivative.

    Subclass it with two static methods. ``forward(ctx, *args)`` computes with tensors (nothing is recorded) and
    returns a tensor or a tuple of them; alternatively ``forward(*args)`` and ``setup_context(ctx, inputs, output)``.
    ``backward(ctx, *gradients)`` gets the gradient of each result and returns one for each argument, None where there
    is none. Written in terms of this package's operations, it can itself be differentiated.

    Example:
        >>> import minigrad as mg
        >>> class Exp(mg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         y = mg.exp(x)
        ...         ctx.save_for_backward(y)
        ...         return y
        ...
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (y,) = ctx.saved_tensors
        ...         return g * y
        >>> x = mg.tensor(0.0, requires_grad=True)
        >>> y = Exp.apply(x)
        >>> y.backward()
        >>> x.grad
        tensor(1.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise TypeError("Function: define forward as a static method")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise TypeError("Function: define backward as a static method")

    setup_context: Any = None

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the function, recorded if an argument requires a gradient."""
        recording = is_grad_enabled()
        if recording and any(isinstance(value, Tensor) and value.requires_grad for value in kwargs.values()):
            raise TypeError(f"{cls.__name__}.apply: tensors that require a gradient must be positional arguments")
        needs = tuple(recording and isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        for arg in args:
            if isinstance(arg, Tensor) and isinstance(arg.data, Tracer):
                args = type(arg.data).align(args)
                break
        ctx = Context(needs)
        with no_grad():
            if cls.setup_context is None:
                out = cls.forward(ctx, *args, **kwargs)
            else:
                out = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, out)
        several = isinstance(out, (tuple, list))
        given = list(out) if several else [out]
        if not all(isinstance(result, Tensor) for result in given):
            raise TypeError(f"{cls.__name__}.forward: expected tensors as results")
        results = [result.detach() for result in given]  # an argument, or a tensor from outside, keeps its own graph
        if any(needs):
            _record(cls, ctx, args, needs, given, results)
        return tuple(results) if several else results[0]


class _Applied:
    """Operation of one call, as the graph and the backward pass use it."""

    decomposition: Callable[..., Any] | None = None

    def __init__(self, function: type[Function], ctx: Context) -> None:
        self.name = function.__name__
        self.function = function
        self.ctx = ctx
        names = list(inspect.signature(function.forward).parameters)
        self.inputs = tuple(names if function.setup_context is not None else names[1:])

    def backward(self, node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...]) -> list[Any]:
        """Gradients of the arguments: tensors if the cotangents are tensors, else arrays."""
        saved = node.recall()
        recording = is_grad_enabled()
        with derivative_on_arrays(False):
            self.ctx.saved_tensors = tuple(
                None if data is None else self._restored(node, data, source) if recording else Tensor(data)
                for data, source in zip(saved["tensors"], node.params["sources"], strict=True)
            )
            given = self._filled(node, cotangents)
            found = self._recorded_backward(given) if recording else self._backward(given)
            self.ctx.saved_tensors = ()
        while len(found) > len(needs) and found[-1] is None:  # as for arguments left to their defaults
            found.pop()
        if len(found) != len(needs):
            raise ValueError(
                f"{self.name}.backward: expected a gradient (or None) for each of the {len(needs)} arguments, "
                f"got {len(found)}"
            )
        on_tensors = any(isinstance(cotangent, Tensor) for cotangent in cotangents)
        return [
            self._checked(position, gradient, node, on_tensors) if need and gradient is not None else None
            for position, (gradient, need) in enumerate(zip(found, needs, strict=True))
        ]

    def _backward(self, given: Sequence[Tensor]) -> list[Any]:
        gradients = self.function.backward(self.ctx, *given)
        return list(gradients) if isinstance(gradients, (tuple, list)) else [gradients]

    def _recorded_backward(self, given: Sequence[Tensor]) -> list[Any]:
        """Gradients that can be differentiated.

        They are linear in the cotangents, so each that is not 0 must have been computed from them: that is
        traced, by cotangents that require a gradient for the time of the check.

        Raises:
            RuntimeError: a gradient was computed by other means, so that its derivative would be lost.
        """
        first = next(serials)
        traced = [g if g.requires_grad else independent(g) for g in given]
        ends = {id(new.node) for old, new in zip(given, traced, strict=True) if old is not new}
        found = self._backward(traced)
        if any(gradient is not None and not _is_recorded(gradient) for gradient in found):
            with no_grad():
                probe = self._backward([Tensor(np.ones(g.shape, g.dtype)) for g in given])
            for gradient, value in zip(found, probe, strict=True):
                if gradient is not None and not _is_recorded(gradient) and np.any(as_array(value)):
                    raise RuntimeError(
                        f"{self.name}.backward: cannot be differentiated, as it does not compute its result from its "
                        "arguments by recorded operations, as when it works on .detach() or .numpy()"
                    )
        return [g.detach() if _is_recorded(g) and not _depends_on_more(g, first, ends) else g for g in found]

    def _restored(self, node: Node, data: Any, source: Any) -> Tensor:
        """Saved tensor with its graph: an argument's, or as a result of this node."""
        if source is None:
            return Tensor(data)
        return connected(data, (node, source) if isinstance(source, int) else source)

    def _filled(self, node: Node, cotangents: Sequence[Any]) -> list[Tensor]:
        return [
            Tensor(np.zeros(shape, dtype))
            if value is None
            else value
            if isinstance(value, Tensor)
            else read_only(value)
            for value, shape, dtype in zip(cotangents, node.output_shapes, node.output_dtypes, strict=True)
        ]

    def _checked(self, position: int, gradient: Any, node: Node, on_tensors: bool) -> Any:
        tensor = gradient if isinstance(gradient, Tensor) else Tensor(as_array(gradient))
        shape = node.shapes[position]
        if tensor.shape != shape and np.broadcast_shapes(tensor.shape, shape) != tensor.shape:
            raise ValueError(
                f"{self.name}.backward: expected a gradient of shape {shape} for argument {position}, "
                f"got {tensor.shape}"
            )
        tensor = unbroadcast(tensor, shape, node.dtypes[position])
        return tensor if on_tensors else read_only(tensor.data).data  # the caller may hold this tensor


def _record(
    cls: type[Function], ctx: Context, args: Sequence[Any], needs: tuple[bool, ...], given: Any, results: Any
) -> None:
    node = Node(
        _Applied(cls, ctx),
        tuple(arg.edge if need else None for arg, need in zip(args, needs, strict=True)),
        tuple(arg.shape if isinstance(arg, Tensor) else () for arg in args),
        tuple(getattr(arg, "dtype", None) for arg in args),
        {},
        tuple(result.shape for result in results),
        tuple(result.dtype for result in results),
        plain=not any(isinstance(tensor.data, Tracer) for tensor in (*args, *results) if isinstance(tensor, Tensor)),
    )
    for index, (result, original) in enumerate(zip(results, given, strict=True)):
        if result.dtype.kind == "f" and not any(original is constant for constant in ctx.constant):
            result.set_history(node, index)
    saved = [_as_result(tensor, given, results) for tensor in ctx.saved_tensors]
    # The node must not refer to itself (a cycle), so its own results are referred to by index.
    node.params["sources"] = tuple(
        None if t is None or not t.requires_grad else t.index if t.node is node else t.edge for t in saved
    )
    node.save(
        {"tensors": [None if tensor is None else tensor.data for tensor in saved]},
        tuple(tensor.storage for tensor in saved if tensor is not None),
    )
    ctx.saved_tensors = ()


def _is_recorded(gradient: Any) -> bool:
    return isinstance(gradient, Tensor) and gradient.requires_grad


def _depends_on_more(tensor: Tensor, first: int, ends: set[int]) -> bool:
    """True if a tensor depends on anything but the given ends, through nodes from a serial number on."""
    stack, seen = [tensor.edge[0]], set(ends)
    while stack:
        vertex = stack.pop()
        if id(vertex) in seen:
            continue
        if not isinstance(vertex, Node) or vertex.serial < first:
            return True
        seen.add(id(vertex))
        stack.extend(source[0] for source in vertex.inputs if source is not None)
    return False


def _as_result(tensor: Tensor | None, given: Sequence[Tensor], results: Sequence[Tensor]) -> Tensor | None:
    """Saved result connected to this node's graph."""
    return next((result for original, result in zip(given, results, strict=True) if original is tensor), tensor)
