"""Loss curves of training and held-out data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transformer.plots.style import ACCENT, FAINT, INK, check_steps, new_figure, save_figure, tidy
from transformer.train import Step


def save_loss_curve(steps: Sequence[Step], path: Path) -> None:
    """Plot the loss of each step, its running mean, and the held-out loss, to PNG, SVG or PDF by the path's suffix.

    Args:
        steps: of a training, as it yields them or as :func:`transformer.train.read_log` reads them.
        path: the file to write.

    Raises:
        ValueError: there are no steps.
        ModuleNotFoundError: matplotlib is not installed.
    """
    check_steps(steps)
    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    numbers = np.array([step.number for step in steps])
    losses = np.array([step.loss for step in steps])
    window = max(len(losses) // 50, 1)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(
        numbers,
        losses,
        color=FAINT,
        linewidth=0.8,
        label="training, each step",
    )
    axes.plot(numbers[window - 1 :], smooth, color=INK, linewidth=2, label=f"training, mean of {window}")
    held_out = [(step.number, step.held_out_loss) for step in steps if step.held_out_loss is not None]
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color=ACCENT, linewidth=2, marker="o", markersize=3, label="held out")
    axes.set_xlabel("step")
    axes.set_ylabel("loss per target token, nats")
    axes.set_title(f"Loss, {steps[-1].number:,} steps")
    tidy(axes)
    axes.legend(frameon=False)
    save_figure(figure, path)
