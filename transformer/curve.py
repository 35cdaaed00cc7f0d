"""The loss curve of a training, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minigrad.io import replace_file
from transformer.extras import require
from transformer.train import Step

INK, FAINT = "#0b7285", "#99c9d3"


def save_loss_curve(steps: Sequence[Step], path: Path) -> None:
    """Draw each step's loss and its running mean over the steps; the suffix of ``path`` chooses PNG, SVG or PDF."""
    require("matplotlib", "draw")
    figure_module = require("matplotlib.figure", "draw")
    numbers = np.array([step.number for step in steps])
    losses = np.array([step.loss for step in steps])
    window = max(len(losses) // 50, 1)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    figure = figure_module.Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(numbers, losses, color=FAINT, linewidth=0.8, label="each step")
    axes.plot(numbers[window - 1 :], smooth, color=INK, linewidth=2, label=f"mean of {window}")
    axes.set_xlabel("step")
    axes.set_ylabel("loss per target token, nats")
    axes.set_title(f"Training loss, {len(steps):,} steps")
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.removeprefix("."), dpi=144)
    replace_file(path, content.getvalue())
