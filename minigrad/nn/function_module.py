"""Modules made of a function: its options are the constructor's, its inputs the call's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from minigrad.engine.tensor import Tensor
from minigrad.nn.module import Module
from minigrad.ops.creation import asarray


class FunctionModule(Module):
    """Module of a function: parameters without a default are inputs of a call, the others options of the module.

    An option that is an array becomes a buffer.
    """

    function: ClassVar[Callable[..., Any]]
    signature: ClassVar[inspect.Signature]

    def __init_subclass__(cls, function: Callable[..., Any], **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.function = staticmethod(function)
        parameters = inspect.signature(function).parameters.values()
        options = [p for p in parameters if p.default is not p.empty]
        cls.signature = inspect.Signature(options)
        cls.__signature__ = cls.signature  # type: ignore[attr-defined]  # what help and editors show

    def __init__(self, *args: Any, **options: Any) -> None:
        bound = self.signature.bind(*args, **options)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            setattr(self, name, asarray(value) if hasattr(value, "__array__") or isinstance(value, list) else value)

    def forward(self, *inputs: Any) -> Tensor:
        return self.function(*inputs, **{name: getattr(self, name) for name in self.signature.parameters})

    def extra_repr(self) -> str:
        options = {name: getattr(self, name) for name in self.signature.parameters}
        return ", ".join(f"{name}={value!r}" for name, value in options.items() if not isinstance(value, Tensor))
