"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from minigrad.engine.tensor import Array, Shape
from minigrad.optim.optimizer import Optimizer, Parameters


class SGD(Optimizer):
    """SGD with momentum: ``v ← momentum · v + g``; ``p ← p - lr · v``. Polyak, 1964; optionally Nesterov's.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([4.0], requires_grad=True)
        >>> optimizer = mg.optim.SGD([x], lr=0.25)
        >>> (x * x).sum().backward()
        >>> optimizer.step()
        >>> x
        tensor([2.], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov})

    def state_shapes(self, shape: Shape, options: dict[str, Any]) -> dict[str, Shape]:
        return {"velocity": shape} if options["momentum"] else {}

    def update(
        self,
        values: list[Array],
        gradients: list[Array],
        states: list[dict[str, Array]],
        steps: list[int],
        options: dict[str, Any],
        gradient_scale: float,
    ) -> None:
        for value, gradient, state in zip(values, gradients, states, strict=True):
            if gradient_scale != 1:
                gradient = gradient_scale * gradient
            if options["weight_decay"]:
                gradient = gradient + options["weight_decay"] * value
            if state:
                velocity = state["velocity"]
                velocity *= options["momentum"]
                velocity += gradient
                gradient = gradient + options["momentum"] * velocity if options["nesterov"] else velocity
            value -= options["lr"] * gradient
