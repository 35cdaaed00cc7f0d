"""What all optimizers share: parameter groups, gradients, and a state that can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.tensor import Array, Tensor

Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class Optimizer(ABC):
    """The base of all optimizers.

    Args:
        params: tensors, or groups ``{"params": tensors, option: value, …}`` whose options replace the defaults.
        defaults: the options of every group, ``lr`` among them.

    Updates happen in place, outside any recording, and only where ``grad`` is set.
    """

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        given: list[Any] = list(params)
        groups = given if given and isinstance(given[0], Mapping) else [{"params": given}]
        self.groups: list[dict[str, Any]] = [{**defaults, **group, "params": list(group["params"])} for group in groups]
        if not any(group["params"] for group in self.groups):
            raise ValueError("params: expected at least one tensor, got none")
        for group in self.groups:
            unknown = set(group) - set(defaults) - {"params"}
            if unknown:
                raise ValueError(f"params: unknown option {sorted(unknown)[0]!r}; allowed are {sorted(defaults)}")
            for tensor in group["params"]:
                if not isinstance(tensor, Tensor) or not tensor.is_leaf:
                    raise TypeError("params: expected leaf tensors")
        self.steps = 0
        self.state: list[list[dict[str, Array]]] = [
            [self.initial_state(tensor.data, group) for tensor in group["params"]] for group in self.groups
        ]

    def initial_state(self, value: Array, options: dict[str, Any]) -> dict[str, Array]:
        """The named arrays to keep for a parameter of a group with these options."""
        return {}

    @abstractmethod
    def update(
        self,
        values: list[Array],
        gradients: list[Array],
        states: list[dict[str, Array]],
        options: dict[str, Any],
        gradient_scale: float,
    ) -> None:
        """Change the parameters of a group in place, their gradients counting ``gradient_scale`` times."""

    @property
    def lr(self) -> float:
        """The learning rate of the first group; assigning sets it for all."""
        return float(self.groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.groups:
            group["lr"] = value

    def step(self, gradient_scale: float = 1.0) -> None:
        """Change every parameter that has a gradient.

        Args:
            gradient_scale: what each gradient counts, as from clipping by norm; the gradients themselves stay.
        """
        self.steps += 1
        for group, states in zip(self.groups, self.state, strict=True):
            found = [(p, p.grad, s) for p, s in zip(group["params"], states, strict=True) if p.grad is not None]
            values, gradients = [p.data for p, _, _ in found], [g.data for _, g, _ in found]
            try:
                self.update(values, gradients, [s for _, _, s in found], group, gradient_scale)
            finally:  # an error may come when some are changed already
                for tensor, _, _ in found:
                    tensor.buffer.changes += 1

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self.groups:
            for tensor in group["params"]:
                tensor.grad = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, by name: ``steps``, the options of all ``groups``, and every state array.

        Numbers, options and lists of them are ready for JSON, everything else is an array and ready for
        :func:`minigrad.save`. The arrays share memory with the optimizer.

        Example:
            >>> import minigrad as mg
            >>> mg.optim.SGD([mg.ones(2)], lr=0.5, momentum=0.9).state_dict()["groups"]
            [{'lr': 0.5, 'momentum': 0.9, 'weight_decay': 0.0, 'nesterov': False}]
        """
        options = [{name: value for name, value in group.items() if name != "params"} for group in self.groups]
        return {"steps": self.steps, "groups": options, **self._arrays()}

    def _arrays(self) -> dict[str, Array]:
        """Every state array, by the numbers of the group and of the parameter in it, and its own name."""
        return {
            f"{group}.{position}.{name}": array
            for group, states in enumerate(self.state)
            for position, state in enumerate(states)
            for name, array in state.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy a saved state back; the groups take its options, the learning rate among them.

        Raises:
            ValueError: it belongs to other parameters or to another optimizer.
        """
        own, arrays = self.state_dict(), self._arrays()
        if wrong := sorted(set(own) ^ set(state)):
            kind = "missing" if wrong[0] in own else "unknown"
            raise ValueError(f"state: does not fit this optimizer's parameters: {wrong[0]!r} is {kind}")
        for name, array in arrays.items():
            if np.shape(state[name]) != array.shape:
                raise ValueError(
                    f"state: does not fit this optimizer's parameters: {name!r} has shape {np.shape(state[name])}, "
                    f"expected {array.shape}"
                )
        if [set(group) for group in state["groups"]] != [set(group) for group in own["groups"]]:
            raise ValueError("state: does not fit this optimizer's groups and their options")
        for name, array in arrays.items():
            array[...] = np.asarray(state[name])
        for group, options in zip(self.groups, state["groups"], strict=True):
            group.update(options)
        self.steps = int(state["steps"])
