"""Adam and AdamW: steps scaled by running estimates of the gradient's first two moments."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Shape
from minigrad.optim.optimizer import Optimizer, Parameters


class AdamW(Optimizer):
    """Adam with decoupled weight decay. Loshchilov and Hutter, 2019, algorithm 2.

    Args:
        params: tensors, or groups of them with their own options.
        lr: the step size.
        betas: the decay rates of the running means of g and g².
        eps: added to the denominator.
        weight_decay: decoupled weight decay: ``lr`` times this part of each parameter is subtracted.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: expected two numbers in [0, 1), got {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    decoupled = True  # weight decay is no part of the gradient

    def state_shapes(self, shape: Shape, options: dict[str, Any]) -> dict[str, Shape]:
        return {"mean": shape, "square": shape}

    def update(
        self,
        values: list[Array],
        gradients: list[Array],
        states: list[dict[str, Array]],
        steps: list[int],
        options: dict[str, Any],
        gradient_scale: float,
    ) -> None:
        beta1, beta2 = options["betas"]
        kinds = [(value.dtype, step) for value, step in zip(values, steps, strict=True)]
        for kind in dict.fromkeys(kinds):  # one call of the kernel for each
            chosen = [place for place, its_kind in enumerate(kinds) if its_kind == kind]
            targets = [np.asarray(values[place], order="C") for place in chosen]
            kernels.adam_step(
                targets,
                [gradients[place] for place in chosen],
                [states[place]["mean"] for place in chosen],
                [states[place]["square"] for place in chosen],
                step=kind[1],
                lr=options["lr"],
                beta1=beta1,
                beta2=beta2,
                eps=options["eps"],
                gradient_scale=gradient_scale,
                **{"weight_decay" if self.decoupled else "l2": options["weight_decay"]},
            )
            for place, target in zip(chosen, targets, strict=True):
                if target is not values[place]:  # no contiguous run: a copy was changed
                    values[place][...] = target


class Adam(AdamW):
    """Adam. Kingma and Ba, 2015, algorithm 1; ``weight_decay`` is added to the gradient, as in PyTorch."""

    decoupled = False

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
