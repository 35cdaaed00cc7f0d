"""Training configuration, schedules and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minigrad import Tensor, nn
from minigrad.optim import SGD, Adafactor, Adam, AdamW, Optimizer, lr_scheduler
from transformer.model.kinds import check_kinds

# Of the warm-up, all steps, and the share of the peak to end at; with the peak at 1.
SCHEDULES: dict[str, Callable[[int, int, float], lr_scheduler.Schedule]] = {
    "noam": lambda warmup, steps, final: lr_scheduler.inverse_sqrt(warmup),  # the paper's, by its author's name
    "inverse_sqrt": lambda warmup, steps, final: lr_scheduler.inverse_sqrt(warmup),
    "linear": lr_scheduler.linear,
    "cosine": lr_scheduler.cosine,
    "constant": lambda warmup, steps, final: lambda step: min(step / warmup, 1.0),
}

MAX_KEPT = 2**16  # batches of a step, all read before the first is learned from, and evaluations to average over
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training configuration. The defaults are those of "Attention Is All You Need", sections 5.3 and 5.4.

    Raises:
        ValueError: a value is out of range, or two contradict each other; the message says which.
    """

    steps: int  # updates of the parameters
    accumulate: int = 1  # batches of each step: exactly one larger batch, every target token counting the same
    optimizer: str = "adam"  # or "adamw", "adafactor" (which takes neither betas nor eps), "sgd"
    betas: tuple[float, float] = (0.9, 0.98)  # decay rates of Adam's two means; the first is SGD's momentum
    eps: float = 1e-9
    weight_decay: float = 0.0  # of matrices only: biases and normalisations' scales keep their values
    schedule: str = "noam"  # the paper's, "inverse_sqrt"; "linear" and "cosine" get more from few steps; or "constant"
    warmup: int = 400  # steps until the learning rate's peak; in a shorter training it is still rising at the end
    lr: float | None = None  # the peak; None for the paper's, which follows from the width and the warm-up
    lr_factor: float = 1.0  # on the paper's peak, where lr is None
    final_factor: float = 0.0  # share of the peak that "linear" and "cosine" end at
    label_smoothing: float = 0.1
    clip_norm: float | None = 1.0  # limit on the norm of all gradients together
    clip_value: float | None = None  # limit on each element of a gradient, applied before clip_norm
    precision: str = "float32"  # or "bfloat16": of products' operands; see minigrad.autocast
    seed: int = 0  # of dropout
    evaluate_every: int | None = None  # steps from one evaluation to the next; the last step always has one then
    patience: int | None = None  # evaluations without a better held-out loss before it stops; the best weights are kept
    average: int = 1  # evaluations, the last ones, whose weights' mean is the result. Section 6.1
    checkpoint_every: int = 500  # steps from one checkpoint to the next, where there is a directory for them
    shard_optimizer: bool = False  # of several processes each updates a part of the weights, and holds its moments

    def __post_init__(self) -> None:
        check_kinds(self)
        for name in ("steps", "accumulate", "warmup", "evaluate_every", "patience", "average", "checkpoint_every"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        for name in ("accumulate", "average"):
            if (value := getattr(self, name)) > MAX_KEPT:
                raise ValueError(f"{name}: expected at most {MAX_KEPT:,}, got {value:,}")
        for name, allowed in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        for name in ("lr", "lr_factor", "clip_norm", "clip_value", "eps"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}: expected a positive number, got {value}")
        if self.lr is not None and self.lr_factor != 1:
            raise ValueError(
                f"lr_factor: multiplies the paper's peak, expected 1 beside lr={self.lr}, got {self.lr_factor}"
            )
        for name in ("label_smoothing", "final_factor"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number in [0, 1), got {getattr(self, name)}")
        for name in ("weight_decay", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected a number ≥ 0, got {getattr(self, name)}")
        for name in ("patience", "average"):
            if getattr(self, name) not in (None, 1) and self.evaluate_every is None:
                raise ValueError(f"{name}: counts evaluations, so evaluate_every must be set")
        if self.patience is not None and self.average > 1:
            raise ValueError("average: expected 1 beside patience, which keeps the best weights and not a mean")

    def learning_rate(self, model: nn.Module) -> float:
        """Peak learning rate. Section 5.3, equation 3, where ``lr`` is None.

        Raises:
            ValueError: ``lr`` is None, and the model has no ``config.d_model``.
        """
        if self.lr is not None:
            return self.lr
        width = getattr(getattr(model, "config", None), "d_model", None)
        if width is None:
            raise ValueError(
                f"lr: expected a number, as {type(model).__name__} has no config.d_model to derive it from"
            )
        return self.lr_factor * lr_scheduler.noam(width, self.warmup)(self.warmup)


Groups = list[dict[str, Any]]

OPTIMIZERS: dict[str, Callable[[Groups, float, TrainingConfig], Optimizer]] = {
    "adam": lambda groups, lr, config: Adam(groups, lr, config.betas, config.eps),
    "adamw": lambda groups, lr, config: AdamW(groups, lr, config.betas, config.eps),
    "adafactor": lambda groups, lr, config: Adafactor(groups, lr),
    "sgd": lambda groups, lr, config: SGD(groups, lr, momentum=config.betas[0]),
}


def make_optimizer(
    parameters: Sequence[Tensor], lr: float, config: TrainingConfig
) -> tuple[Optimizer, lr_scheduler.LRScheduler]:
    """Make the optimizer of a training, and its learning-rate scheduler."""
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = OPTIMIZERS[config.optimizer]([group for group in groups if group["params"]], lr, config)
    schedule = SCHEDULES[config.schedule](config.warmup, max(config.warmup, config.steps), config.final_factor)
    return optimizer, lr_scheduler.LRScheduler(optimizer, schedule)
