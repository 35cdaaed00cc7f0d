"""Operators and methods, hung on the tensor class: the one place that knows both the tensor and the operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad import autograd
from minigrad.ops import elementwise, indexing, linalg, reductions, shape
from minigrad.tensor import Tensor


def _reflected(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: operation(other, self)


def _method(operation: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function, which binds to the instance as an operation object would not."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return operation(self, *args, **kwargs)

    method.__doc__ = operation.__doc__
    return method


_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.pow,
    "matmul": linalg.matmul,
    "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or,
    "xor": elementwise.bitwise_xor,
}
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": elementwise.equal,
    "ne": elementwise.not_equal,
    "lt": elementwise.less,
    "le": elementwise.less_equal,
    "gt": elementwise.greater,
    "ge": elementwise.greater_equal,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "neg": elementwise.negative,
    "abs": elementwise.abs,
    "invert": elementwise.bitwise_invert,
    "getitem": indexing.getitem,
}
_METHODS: tuple[Callable[..., Any], ...] = (
    *(reductions.sum, reductions.mean, reductions.var, reductions.max, reductions.min),
    *(reductions.argmax, reductions.argmin, reductions.any, reductions.all, reductions.cumsum),
    *(shape.transpose, shape.swapaxes, shape.squeeze, shape.flatten),
    *(elementwise.exp, elementwise.log, elementwise.sqrt, elementwise.tanh, elementwise.clip),
    elementwise.astype,
    *(autograd.register_hook, autograd.retain_grad),
)

for _name, _operation in _OPERATORS.items():
    setattr(Tensor, f"__{_name}__", _method(_operation))
    setattr(Tensor, f"__r{_name}__", _reflected(_operation))
for _name, _operation in {**_COMPARISONS, **_UNARY}.items():
    setattr(Tensor, f"__{_name}__", _method(_operation))
for _operation in _METHODS:
    setattr(Tensor, _operation.__name__, _method(_operation))


def _reshape(self: Tensor, *sizes: Any) -> Any:
    return shape.reshape(self, sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes)


def _backward(self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
    autograd.backward(self, gradient, retain_graph, create_graph)


_reshape.__doc__ = shape.reshape.__doc__
_backward.__doc__ = autograd.backward.__doc__
for _name, _attribute in {
    "reshape": _reshape,
    "backward": _backward,
    "T": property(shape.transpose, doc="The tensor with its axes reversed."),
    "mT": property(shape.matrix_transpose, doc="The tensor with its last two axes exchanged."),
}.items():
    setattr(Tensor, _name, _attribute)
