"""Learning-rate schedules: with a linear warm-up, and PyTorch's.

A schedule is a function from the step (1, 2, …) to a factor; :class:`LRScheduler` multiplies an optimizer's learning
rate by it. PyTorch's classes count epochs, or whatever is between two calls of ``step``, from 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minigrad.name_hints import hint_arguments, module_hints
from minigrad.optim.optimizer import Optimizer
from minigrad.pytorch_names import ARGUMENTS, HINTS

Schedule = Callable[[int], float]


def noam(model_size: int, warmup: int) -> Schedule:
    """Noam: d^-0.5 · min(step^-0.5, step · warmup^-1.5). Vaswani et al., 2017, equation 3; meant for ``lr=1``."""
    _check(warmup)
    return lambda step: model_size**-0.5 * min(step**-0.5, step * warmup**-1.5)


def inverse_sqrt(warmup: int) -> Schedule:
    """Inverse square root decay: up to 1 over the warm-up, then 1/√step; ``noam`` with its peak at 1."""
    _check(warmup)
    return lambda step: min((warmup / step) ** 0.5, step / warmup)


def cosine(warmup: int, total: int, final: float = 0.0) -> Schedule:
    """Cosine decay: up to 1 over the warm-up, then down to ``final`` at step ``total``. Loshchilov and Hutter, 2017."""
    _check(warmup, total)
    return lambda step: _decaying(step, warmup, total, lambda t: final + (1 - final) * (1 + math.cos(math.pi * t)) / 2)


def linear(warmup: int, total: int, final: float = 0.0) -> Schedule:
    """Linear decay: up to 1 over the warm-up, then down to ``final`` at step ``total``."""
    _check(warmup, total)
    return lambda step: _decaying(step, warmup, total, lambda t: 1 - (1 - final) * t)


def _check(warmup: int, total: int | None = None) -> None:
    if warmup < 1:
        raise ValueError(f"warmup: expected at least 1 step, got {warmup}")
    if total is not None and total < warmup:
        raise ValueError(f"total: expected at least the warm-up of {warmup} steps, got {total}")


def _decaying(step: int, warmup: int, total: int, decay: Callable[[float], float]) -> float:
    """Warm-up, then ``decay`` of the elapsed part of the remaining steps."""
    return step / warmup if step < warmup else decay(min((step - warmup) / max(total - warmup, 1), 1.0))


class LRScheduler:
    """Learning-rate scheduler: sets an optimizer's rate to its initial value times ``schedule(step)``.

    The first step's rate is set at once; call :meth:`step` after each step of the optimizer.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.ones(1)], lr=1.0)
        >>> scheduler = LRScheduler(optimizer, inverse_sqrt(warmup=4))
        >>> scheduler.step()
        >>> optimizer.lr
        0.5
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        self.optimizer = optimizer
        self.schedule = schedule
        self.base = [group["lr"] for group in optimizer.groups]
        self.set(1)

    def set(self, step: int) -> None:
        """Set the rate of a step, counted from 1."""
        self.current = step
        for group, base in zip(self.optimizer.groups, self.base, strict=True):
            group["lr"] = base * self.schedule(step)

    def step(self) -> None:
        """Set the next step's rate."""
        self.set(self.current + 1)

    def get_last_lr(self) -> list[float]:
        """The present rate of each group."""
        return [group["lr"] for group in self.optimizer.groups]

    def state_dict(self) -> dict[str, Any]:
        """State for JSON: the step and the groups' initial rates."""
        return {"step": self.current, "base": list(self.base)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved step and set the optimizer's rates.

        Raises:
            ValueError: it belongs to an optimizer with another number of groups.
        """
        if len(state["base"]) != len(self.base):
            raise ValueError(f"state: expected the rates of {len(self.base)} groups, got {len(state['base'])}")
        self.base = list(state["base"])
        self.set(state["step"])


class LambdaLR(LRScheduler):
    """Learning rate times ``lr_lambda(epoch)``, the epoch counted from 0."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        super().__init__(optimizer, lambda step: lr_lambda(step - 1))


class MultiStepLR(LambdaLR):
    """Step decay: the rate times ``gamma`` from each of the milestones on."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        milestones = sorted(milestones)
        super().__init__(optimizer, lambda epoch: gamma ** bisect_right(milestones, epoch))


class StepLR(LambdaLR):
    """Step decay: the rate times ``gamma`` every ``step_size`` epochs.

    Example:
        >>> import minigrad as mg
        >>> optimizer = mg.optim.SGD([mg.ones(1)], lr=1.0)
        >>> scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
        >>> [(optimizer.lr, scheduler.step())[0] for _ in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"step_size: expected at least 1, got {step_size}")
        super().__init__(optimizer, lambda epoch: gamma ** (epoch // step_size))


class ExponentialLR(LambdaLR):
    """Exponential decay: the rate times ``gamma`` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer, lambda epoch: gamma**epoch)


class CosineAnnealingLR(LRScheduler):
    """Cosine annealing: down to ``eta_min`` in ``T_max`` epochs, and up again. Loshchilov and Hutter, 2017."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ValueError(f"T_max: expected at least 1, got {T_max}")
        self.eta_min = eta_min
        super().__init__(optimizer, lambda step: (1 + math.cos(math.pi * (step - 1) / T_max)) / 2)

    def set(self, step: int) -> None:
        self.current = step
        for group, base in zip(self.optimizer.groups, self.base, strict=True):
            group["lr"] = self.eta_min + (base - self.eta_min) * self.schedule(step)


for _kind in (LambdaLR, MultiStepLR, StepLR, ExponentialLR, CosineAnnealingLR):
    hint_arguments(_kind, ARGUMENTS)

if not TYPE_CHECKING:
    __getattr__ = module_hints(__name__, HINTS["mg.optim.lr_scheduler"])
