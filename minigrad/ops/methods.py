"""Operators and methods of tensors: the operations of this package, added to the class on import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.engine.tensor import Tensor
from minigrad.name_hints import check_keywords, hint_names
from minigrad.ops import (
    comparisons,
    diagonals,
    elementwise,
    gradients,
    indexing,
    inplace,
    padding,
    products,
    reductions,
    scans,
    scatter,
    shape,
    softmax,
    sorting,
)
from minigrad.ops.linalg import matrices, norms
from minigrad.pytorch_names import ARGUMENTS, HINTS, TILING, Size


def _reflected(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: operation(other, self)


def _method(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an operation object in a plain function, which binds to the instance."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        try:
            return operation(self, *args, **kwargs)
        except TypeError:
            check_keywords(operation.__name__, kwargs, ARGUMENTS, operation)
            if operation.__name__ in TILING and len(args) > 1 and all(type(arg) is int for arg in args):
                raise TypeError(f"{operation.__name__}: use tile({args})") from None
            raise

    method.__doc__ = operation.__doc__
    return method


def _deferring(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Deferring operator: leaves the work to another operand that wraps arrays, as labelled arrays do."""

    def operator(self: Tensor, other: Any) -> Any:
        kind = type(other)
        if kind is not Tensor and hasattr(kind, "__array_ufunc__") and not issubclass(kind, _OURS):
            return NotImplemented
        return operation(self, other)

    operator.__doc__ = operation.__doc__
    return operator


_OURS = (Tensor, np.ndarray, np.generic)

_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.pow,
    "matmul": products.matmul,
    "and": comparisons.bitwise_and,
    "or": comparisons.bitwise_or,
    "xor": comparisons.bitwise_xor,
    "lshift": comparisons.bitwise_left_shift,
    "rshift": comparisons.bitwise_right_shift,
}
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": comparisons.equal,
    "ne": comparisons.not_equal,
    "lt": comparisons.less,
    "le": comparisons.less_equal,
    "gt": comparisons.greater,
    "ge": comparisons.greater_equal,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "neg": elementwise.negative,
    "pos": elementwise.positive,
    "abs": elementwise.abs,
    "invert": comparisons.bitwise_invert,
    "getitem": indexing.getitem,
}
# Families of operations, and the names of those that are also methods
_METHODS: dict[ModuleType, str] = {
    reductions: "sum prod mean var std max min argmax argmin any all logsumexp",
    scans: "cumsum cumprod",
    sorting: "argsort searchsorted topk",
    comparisons: "nonzero isnan isinf isfinite",
    shape: "transpose swapaxes moveaxis squeeze expand_dims flatten ravel flip",
    padding: "repeat tile roll",
    indexing: "take",
    scatter: "gather scatter_add index_add masked_fill",
    matrices: "tril triu",
    diagonals: "diagonal trace",
    products: "dot matmul",
    norms: "norm",
    elementwise: "abs sign square sqrt exp log log1p sin cos tan tanh sigmoid relu floor ceil round clip pow astype",
    softmax: "softmax log_softmax",
    gradients: "register_hook register_post_accumulate_grad_hook retain_grad",
}

for _name, _operation in _OPERATORS.items():
    setattr(Tensor, f"__{_name}__", _deferring(_operation))
    setattr(Tensor, f"__r{_name}__", _reflected(_operation))
    setattr(Tensor, f"__i{_name}__", _method(inplace.updated(_operation)))
for _name, _operation in _COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _deferring(_operation))
for _name, _operation in _UNARY.items():
    setattr(Tensor, f"__{_name}__", _method(_operation))
for _family, _names in _METHODS.items():
    for _name in _names.split():
        setattr(Tensor, _name, _method(getattr(_family, _name)))


def _reshape(self: Tensor, *sizes: Any) -> Any:
    return shape.reshape(self, sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes)


def _copy(self: Tensor) -> Tensor:
    """Copy with its own memory; differentiable."""
    return elementwise.astype(self, self.dtype, copy=True)


def _len(self: Tensor) -> int:
    if not self.data.ndim:
        raise TypeError("len() of a 0-d tensor")
    return self.data.shape[0]


def _iter(self: Tensor) -> Iterator[Tensor]:
    if not self.data.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return (self[i] for i in range(len(self)))


def _format(self: Tensor, spec: str) -> str:
    return format(self.item(), spec) if spec and not self.data.ndim else format(str(self), spec)


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    inplace.assign(self, index, value)


def _backward(self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
    gradients.backward(self, gradient, retain_graph, create_graph)


def _blank(cls: type[Tensor]) -> Tensor:
    return cls.__new__(cls)


def _reduce_ex(self: Tensor, protocol: Any) -> tuple[Any, ...]:
    """Pickles name a function of this file, so that whoever loads one has the methods too."""
    return _blank, (type(self),), self.__getstate__()


_setitem.__doc__ = inplace.assign.__doc__
_reshape.__doc__ = shape.reshape.__doc__
_backward.__doc__ = gradients.backward.__doc__
for _name, _attribute in {
    "reshape": _reshape,
    "copy": _copy,
    "backward": _backward,
    "__reduce_ex__": _reduce_ex,
    "__setitem__": _setitem,
    "__array_ufunc__": None,  # an ndarray's operators leave the work to ours
    "__len__": _len,
    "__iter__": _iter,
    "__contains__": lambda self, value: bool((self == value).any()),
    "__round__": lambda self, decimals=0: elementwise.round(self, decimals),
    "__format__": _format,
    "__bool__": lambda self: bool(self.data),
    "size": property(lambda self: Size(self.data.size), doc="Number of elements."),
    "T": property(shape.transpose, doc="The tensor with its axes reversed."),
    "mT": property(shape.matrix_transpose, doc="The tensor with its last two axes exchanged."),
}.items():
    setattr(Tensor, _name, _attribute)
hint_names(Tensor, HINTS["mg.Tensor"])
