"""TensorBoard logging of a training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from minigrad.optional_imports import require
from transformer.train.log import Step


class TensorBoard:
    """TensorBoard writer: a callback that writes steps to event files, flushed at the end of a ``with`` block.

    Args:
        directory: for ``tensorboard --logdir``.
        parameters: the names that belong to each step's ``gradient_norms``: a trainer's ``parameter_names``.
        start: steps made before; those after them that a crashed run wrote are hidden.

    Raises:
        ModuleNotFoundError: tensorboardX is not installed.

    Example::

        with TensorBoard("runs/first", trainer.parameter_names) as board:
            for step in trainer:
                board(step)
    """

    def __init__(self, directory: str | os.PathLike[str], parameters: Sequence[str] = (), start: int = 0) -> None:
        writer = require("tensorboardX", "tensorboard").SummaryWriter
        self._parameters = parameters
        self._writer = writer(os.fspath(directory), purge_step=start + 1)  # of an earlier training, too

    def __call__(self, step: Step) -> None:
        figures = {
            "loss/training": step.loss,
            "loss/held out": step.held_out_loss,
            "lr": step.lr,
            "tokens per second": step.tokens / step.seconds if step.seconds else None,
            "gradients/norm": step.gradient_norm,
            "gradients/clip factor": step.clip_factor,
            **{
                f"gradient norm/{name}": norm for name, norm in zip(self._parameters, step.gradient_norms, strict=False)
            },
        }
        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, step.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
