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

    def state_dict(self) -> dict[str, Array]:
        """The number of steps and every state array, by name; shares memory with the optimizer."""
        arrays = {
            f"{group}.{position}.{name}": array
            for group, states in enumerate(self.state)
            for position, state in enumerate(states)
            for name, array in state.items()
        }
        return {"steps": np.array(self.steps), **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy a saved state back.

        Raises:
            ValueError: it belongs to other parameters or to another optimizer.
        """
        own = self.state_dict()
        if set(own) != set(state) or any(np.shape(state[name]) != array.shape for name, array in own.items()):
            raise ValueError("state: does not fit this optimizer's parameters")
        for name, array in own.items():
            array[...] = np.asarray(state[name])
        self.steps = int(np.asarray(state["steps"]))
