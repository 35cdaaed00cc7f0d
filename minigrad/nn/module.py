"""Modules: functions with parameters that know their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np

from minigrad.engine.tensor import Scope, Tensor, as_array, scope
from minigrad.name_hints import hint_names
from minigrad.nn.init import skipping
from minigrad.ops.gradients import HookHandle, zero_grad
from minigrad.pytorch_names import HINTS

Self = TypeVar("Self", bound="Module")
Held = TypeVar("Held", bound=Tensor)
ForwardHook = Callable[["Module", tuple[Any, ...], Any], None]

_new_scope: Callable[[tuple[Any, ...]], Scope] = partial(tuple.__new__, Scope)  # Scope(*fields) without a Python call


class Parameter(Tensor):
    """Trained tensor: assigned to a module, it is found by ``parameters()``."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        array = as_array(data)
        if skipping():  # one number in the place of all
            super().__init__(np.broadcast_to(array.dtype.type(0), array.shape), requires_grad)
        else:
            super().__init__(np.array(array), requires_grad)  # its own buffer, which nobody else changes


class Module:
    """The base of all layers and models.

    A subclass assigns parameters and other modules to attributes in ``__init__`` and computes in ``forward``. A plain
    tensor attribute is a buffer: saved with the state, not trained. Attribute names become parameter names
    (``encoder.layers.0.norm.weight``) and the cluster names in graph pictures.

    Example:
        >>> import minigrad as mg
        >>> class Scale(mg.nn.Module):
        ...     def __init__(self):
        ...         self.factor = mg.nn.Parameter(mg.ones(1))
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> [name for name, _ in Scale().named_parameters()]
        ['factor']
    """

    training: bool = True
    label: str = ""  # the name under which the parent knows this module
    _forward_hooks: tuple[ForwardHook, ...] = ()
    hook_changes: ClassVar[int] = 0  # of all modules: who relies on there being no hooks need not look at each call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = scope.set(_new_scope((self.label, type(self).__name__, scope.get(), False)))
        try:
            output = self.forward(*args, **kwargs)
        finally:
            scope.reset(token)
        for hook in self._forward_hooks:
            hook(self, args, output)
        return output

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assign a buffer: ``self.name = tensor`` does the same.

        Raises:
            ValueError: it is not to be saved; a plain NumPy array as an attribute is not.
        """
        if not persistent:
            raise ValueError("persistent: expected True, got False; an attribute that is a NumPy array is not saved")
        setattr(self, name, tensor)

    def register_forward_hook(self, hook: ForwardHook) -> HookHandle:
        """Call ``hook(module, arguments, output)`` after each call of this module.

        Returns:
            A handle; ``handle.remove()`` takes the hook off again.
        """
        object.__setattr__(self, "_forward_hooks", (*self._forward_hooks, hook))
        Module.hook_changes += 1

        def remove() -> None:
            object.__setattr__(self, "_forward_hooks", tuple(h for h in self._forward_hooks if h is not hook))
            Module.hook_changes += 1

        return HookHandle(remove)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module):
            value.relabel(name)
        elif isinstance(value, Tensor):
            value.name = name
        super().__setattr__(name, value)

    def relabel(self, label: str) -> None:
        """Take the name under which the parent knows this module."""
        object.__setattr__(self, "label", label)

    # Walking the tree

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules held directly, with their attribute names."""
        found: list[tuple[str, Module]] = []
        for name, value in vars(self).items():
            if isinstance(value, Module):
                found.append((name, value))
        return iter(found)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names; a shared module once."""
        found: dict[int, tuple[str, Module]] = {}
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if id(module) not in found:
                found[id(module)] = path, module
                below = list(module.children())
                for name, child in reversed(below):
                    stack.append((f"{path}.{name}" if path else name, child))
        return iter(found.values())

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return iter([module for _, module in self.named_modules()])

    def _tensors(self, kind: type[Held]) -> dict[int, tuple[str, Held]]:
        """All tensors of a kind with dotted names, by identity: a shared one once, under its first name."""
        found: dict[int, tuple[str, Held]] = {}
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in found:
                    found[id(value)] = (f"{path}.{name}" if path else name), value
        return found

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names; a shared one once, under its first name."""
        return iter(self._tensors(Parameter).values())

    def parameters(self) -> Iterator[Parameter]:
        """All parameters; a shared one once."""
        return iter([parameter for _, parameter in self._tensors(Parameter).values()])

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors that are no parameters, with dotted names."""
        return iter(
            [(name, value) for name, value in self._tensors(Tensor).values() if not isinstance(value, Parameter)]
        )

    def buffers(self) -> Iterator[Tensor]:
        """All tensors that are no parameters."""
        return iter([buffer for _, buffer in self.named_buffers()])

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by dotted name, sharing memory with the module."""
        return {name: value.detach() for name, value in self._tensors(Tensor).values()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> None:
        """Copy values into parameters and buffers, in place.

        Args:
            state: names to arrays of the same shapes.
            strict: whether missing and unexpected names are errors.
            assign: use the arrays themselves in the place of those that the module has.

        Raises:
            ValueError: names or shapes do not fit; all are checked before anything is changed.
        """
        own = dict(self._tensors(Tensor).values())
        problems = [f"missing {name} {value.shape}" for name, value in own.items() if strict and name not in state]
        problems += [f"unexpected {name} {np.shape(state[name])}" for name in state if strict and name not in own]
        problems += [
            f"{name}: expected shape {value.shape}, got {np.shape(state[name])}"
            for name, value in own.items()
            if name in state and np.shape(state[name]) != value.shape
        ]
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise ValueError(f"state does not fit {type(self).__name__}: {'; '.join(problems[:5])}{more}")
        for name, value in own.items():
            if name in state and assign:
                value.data = as_array(state[name])
            elif name in state:
                value.data[...] = as_array(state[name])
            if name in state:
                value.storage.version += 1

    # Modes

    def train(self: Self, mode: bool = True) -> Self:
        """Switch to training (dropout on), here and below."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self: Self) -> Self:
        """Switch to evaluation (dropout off), here and below."""
        return self.train(False)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode for a ``with`` block; then every module returns to the mode it had."""
        before = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, mode in before:
                object.__setattr__(module, "training", mode)

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call a function on this module and each below it."""
        for module in self.modules():
            function(module)
        return self

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Train all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set those that there are to zeros."""
        zero_grad(self.parameters(), set_to_none)

    def astype(self: Self, dtype: Any) -> Self:
        """Convert all floating parameters and buffers, in place."""
        for _, value in self._tensors(Tensor).values():
            if value.dtype.kind == "f":
                value.data = value.data.astype(dtype)
                value.storage.version += 1
                if value.grad is not None:
                    value.grad = value.grad.astype(dtype)
        return self

    def __repr__(self) -> str:
        inner = "".join(f"\n  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.children())
        return f"{type(self).__name__}({self.extra_repr()}{inner}{chr(10) if inner else ''})"

    def extra_repr(self) -> str:
        """The settings to show in ``repr``."""
        return ""


hint_names(Module, HINTS["mg.nn.Module"])
