"""Adafactor: Adam's scaling with a factored second moment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array, Shape
from minigrad.optim.optimizer import Optimizer, Parameters


class Adafactor(Optimizer):
    """Adafactor: steps scaled by a factored running mean of g² (row and column means of a matrix), relative to the
    size of the parameter. Shazeer and Stern, 2018, algorithms 4 and 5, with PyTorch's arguments and defaults.

    Of a parameter with more than two axes the last two are factored; one with fewer keeps its full mean of g².

    Args:
        params: tensors, or groups of them with their own options.
        lr: the upper limit of the relative step size, which is 1/√step once that is smaller.
        beta2_decay: the new g² counts step^beta2_decay in the running mean, ≤ 0.
        eps: the smallest root mean square of gradients (None: the dtype's machine epsilon), and of a parameter.
        d: the largest root mean square of an update before it is scaled by the step size, ≥ 1.
        weight_decay: decoupled weight decay: ``lr`` times this part of each parameter is subtracted.
        maximize: maximize the objective instead of minimizing it.

    Raises:
        ValueError: an option is out of its range.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([[4.0, 4.0]], requires_grad=True)
        >>> optimizer = mg.optim.Adafactor([x], lr=0.25)
        >>> (x * x).sum().backward()
        >>> optimizer.step()
        >>> x
        tensor([[3., 3.]], requires_grad=True)
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        if beta2_decay > 0:
            raise ValueError(f"beta2_decay: expected a number ≤ 0, got {beta2_decay}")
        if any(value is not None and value < 0 for value in eps):
            raise ValueError(f"eps: expected two numbers ≥ 0, or None and a number, got {eps}")
        if d < 1:
            raise ValueError(f"d: expected a number ≥ 1, got {d}")
        options = {"beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {"lr": lr, **options})

    def state_shapes(self, shape: Shape, options: dict[str, Any]) -> dict[str, Shape]:
        if len(shape) < 2:
            return {"square": shape}
        *leading, rows, columns = shape
        return {"row_square": (*leading, rows, 1), "column_square": (*leading, 1, columns)}

    def update(
        self,
        values: list[Array],
        gradients: list[Array],
        states: list[dict[str, Array]],
        steps: list[int],
        options: dict[str, Any],
        gradient_scale: float,
    ) -> None:
        lr, (eps, smallest) = options["lr"], options["eps"]
        sign = -1 if options["maximize"] else 1
        for value, gradient, state, step in zip(values, gradients, states, steps, strict=True):
            if not value.size:
                continue
            floor = np.finfo(value.dtype).eps if eps is None else eps
            step_size = max(smallest, _root_mean_square(value)) * min(lr, step**-0.5)
            gradient = gradient * (sign * gradient_scale)
            square = np.maximum(_mean_square(gradient, state, step ** options["beta2_decay"], floor), floor**2)
            direction = gradient / np.sqrt(square)
            step_size /= max(1.0, _root_mean_square(direction) / options["d"])
            value *= 1 - lr * options["weight_decay"]
            value -= step_size * direction


def _mean_square(gradient: Array, state: dict[str, Array], newest: float, floor: float) -> Array:
    """Running mean of g²: stored in full, or the product of its row and column means over the mean of all."""
    square = gradient * gradient
    if "square" in state:
        return _moved(state["square"], square, newest)
    rows = _moved(state["row_square"], square.mean(-1, keepdims=True), newest)
    columns = _moved(state["column_square"], square.mean(-2, keepdims=True), newest)
    return rows * columns / np.maximum(rows.mean(-2, keepdims=True), floor)


def _moved(mean: Array, new: Array, share: float) -> Array:
    """Exponential moving average, in place."""
    mean += share * (new - mean)
    return mean


def _root_mean_square(x: Array) -> float:
    return math.sqrt(np.mean(x * x, dtype=np.float64))
