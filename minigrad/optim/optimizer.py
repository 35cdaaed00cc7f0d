"""Optimizer base class: parameter groups, gradients, and a state that can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.name_hints import hint_names
from minigrad.ops.arguments import as_number
from minigrad.ops.gradients import zero_grad
from minigrad.pytorch_names import HINTS

Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]


def _listed(params: Any) -> list[Any]:
    return [params] if isinstance(params, Tensor) else list(params)


class Optimizer(ABC):
    """Base class of all optimizers.

    Args:
        params: tensors, or groups ``{"params": tensors, option: value, …}`` whose options replace the defaults.
        defaults: the options of every group, ``lr`` among them.

    Updates happen in place, outside any recording, and only where ``grad`` is set; the others keep their state and
    their count of steps. ``groups`` holds the options, which are read when a step uses them.

    Raises:
        ValueError: there are no parameters, one is given twice, or an option is unknown.
        TypeError: a parameter is no leaf tensor.
    """

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        if not isinstance(params, Iterable) or isinstance(params, Tensor):
            kind = type(params).__name__
            raise TypeError(f"params: expected tensors or groups, as model.parameters(), got a {kind}")
        given: list[Any] = list(params)
        groups = given if given and isinstance(given[0], Mapping) else [{"params": given}]
        self.groups: list[dict[str, Any]] = [
            {**defaults, **group, "params": _listed(group["params"])} for group in groups
        ]
        if not any(group["params"] for group in self.groups):
            raise ValueError("params: expected at least one tensor, got none")
        for group in self.groups:
            unknown = set(group) - set(defaults) - {"params"}
            if unknown:
                raise ValueError(f"params: unknown option {sorted(unknown)[0]!r}; allowed are {sorted(defaults)}")
            for tensor in group["params"]:
                if not isinstance(tensor, Tensor) or not tensor.is_leaf:
                    kind = "a computed one" if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
                    raise TypeError(f"params: expected leaf tensors, got {kind}")
        tensors = [id(tensor) for group in self.groups for tensor in group["params"]]
        if len(set(tensors)) < len(tensors):
            raise ValueError("params: a parameter is given more than once, and would be updated as often")
        self.steps = [[0] * len(group["params"]) for group in self.groups]  # of each parameter, those with a gradient
        self.state: list[list[dict[str, Array]]] = [[{} for _ in group["params"]] for group in self.groups]

    def state_shapes(self, shape: Shape, options: dict[str, Any]) -> dict[str, Shape]:
        """Shapes of the state arrays, by name, of a parameter in a group with these options; they start as zeros."""
        return {}

    def _fit_state(self, state: dict[str, Array], value: Array, options: dict[str, Any]) -> None:
        """Match a parameter's state to its current options, shape and dtype."""
        shapes = self.state_shapes(value.shape, options)
        for name in state.keys() - shapes.keys():
            del state[name]
        for name, shape in shapes.items():
            array = state.get(name)
            if array is None:
                state[name] = np.zeros(shape, value.dtype)
            elif array.shape != shape:
                raise ValueError(f"params: a parameter, whose {name} has shape {array.shape}, is now {value.shape}")
            elif array.dtype != value.dtype:
                state[name] = array.astype(value.dtype)

    @abstractmethod
    def update(
        self,
        values: list[Array],
        gradients: list[Array],
        states: list[dict[str, Array]],
        steps: list[int],
        options: dict[str, Any],
        gradient_scale: float,
    ) -> None:
        """Update the parameters of a group in place, each with its own step count, this step included.

        Gradients are multiplied by ``gradient_scale``.
        """

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The same as ``groups``, by PyTorch's name."""
        return self.groups

    @property
    def lr(self) -> float:
        """Learning rate of the first group; assignment sets it for all."""
        return float(self.groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.groups:
            group["lr"] = value

    def step(self, gradient_scale: float = 1.0) -> None:
        """Update every parameter that has a gradient.

        Args:
            gradient_scale: a factor of all gradients, as from clipping by norm; ``grad`` itself is unchanged.

        Raises:
            ValueError: a gradient, or the state, has not the shape or dtype of its parameter.
        """
        as_number(gradient_scale, "gradient_scale")
        for group, states, steps in zip(self.groups, self.state, self.steps, strict=True):
            values, gradients, chosen = [], [], []
            for place, tensor in enumerate(group["params"]):
                if tensor.grad is not None:
                    value, gradient = tensor.data, tensor.grad.data
                    if gradient.dtype != value.dtype or gradient.shape != value.shape:
                        raise ValueError(
                            f"grad: expected the {value.dtype} and shape {value.shape} of its parameter, "
                            f"got {gradient.dtype} {gradient.shape}"
                        )
                    self._fit_state(states[place], value, group)
                    values.append(value)
                    gradients.append(gradient)
                    chosen.append(place)
            for place in chosen:
                steps[place] += 1
            counts = [steps[place] for place in chosen]
            try:
                self.update(values, gradients, [states[place] for place in chosen], counts, group, gradient_scale)
            finally:  # an error may occur after some were updated
                for place in chosen:
                    group["params"][place].storage.version += 1

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set all gradients to None, or those that there are to zeros."""
        for group in self.groups:
            zero_grad(group["params"], set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """State of the optimizer by name: each parameter's ``steps``, the options of all ``groups``, all arrays.

        Numbers, options and lists of them are ready for JSON, everything else is an array and ready for
        :func:`minigrad.save`. The arrays share memory with the optimizer.

        Example:
            >>> import minigrad as mg
            >>> mg.optim.SGD([mg.ones(2)], lr=0.5, momentum=0.9).state_dict()["groups"]
            [{'lr': 0.5, 'momentum': 0.9, 'weight_decay': 0.0, 'nesterov': False}]
        """
        options = [{name: value for name, value in group.items() if name != "params"} for group in self.groups]
        arrays: dict[str, Array] = {}  # by the numbers of the group and of the parameter in it, and their own names
        for number, (group, states) in enumerate(zip(self.groups, self.state, strict=True)):
            for place, (tensor, state) in enumerate(zip(group["params"], states, strict=True)):
                self._fit_state(state, tensor.data, group)
                arrays |= {f"{number}.{place}.{name}": array for name, array in state.items()}
        return {"steps": [list(steps) for steps in self.steps], "groups": options, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state, with the options of the groups, the learning rate among them.

        Raises:
            ValueError: the state belongs to other parameters or to another optimizer.
        """
        groups = state.get("groups", ())
        if [set(group) | {"params"} for group in groups] != [set(group) for group in self.groups]:
            raise ValueError("state: does not fit this optimizer's groups and their options")
        expected: dict[str, tuple[dict[str, Array], str, Tensor, Shape]] = {}
        for number, (group, states) in enumerate(zip(self.groups, self.state, strict=True)):
            for place, (tensor, own) in enumerate(zip(group["params"], states, strict=True)):
                for name, shape in self.state_shapes(tensor.shape, groups[number]).items():
                    expected[f"{number}.{place}.{name}"] = own, name, tensor, shape
        if wrong := sorted({"steps", "groups", *expected} ^ set(state)):
            kind = "unknown" if wrong[0] in state else "missing"
            raise ValueError(f"state: does not fit this optimizer's parameters: {wrong[0]!r} is {kind}")
        for key, (_, _, _, shape) in expected.items():
            if np.shape(state[key]) != shape:
                raise ValueError(
                    f"state: does not fit this optimizer's parameters: {key!r} has shape {np.shape(state[key])}, "
                    f"expected {shape}"
                )
        counts = state["steps"]
        if isinstance(counts, int):  # one count for all, as states had before each parameter had its own
            counts = [[counts] * len(steps) for steps in self.steps]
        if [len(steps) for steps in counts] != [len(steps) for steps in self.steps]:
            raise ValueError("state: does not fit this optimizer's parameters: 'steps' has other lengths")
        for key, (own, name, tensor, _) in expected.items():
            own[name] = np.array(state[key], tensor.dtype)
        for group, options in zip(self.groups, groups, strict=True):
            group.update(options)
        self.steps = [[int(count) for count in steps] for steps in counts]


hint_names(Optimizer, HINTS["mg.optim.Optimizer"])
