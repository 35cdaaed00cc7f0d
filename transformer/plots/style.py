"""Figure style of all matplotlib figures: colours, axes, saving."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigrad.io import replace_file
from minigrad.optional_imports import require

INK, FAINT, ACCENT = "#0b7285", "#99c9d3", "#d9480f"


def new_figure(width: float, height: float) -> Any:
    """New matplotlib figure, size in inches.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    require("matplotlib", "draw")
    return require("matplotlib.figure", "draw").Figure(figsize=(width, height), layout="constrained")


def prepare_directory(directory: Path) -> None:
    """Prepare a directory for figures, early, so that errors come before the work.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        FileExistsError: a file has this name.
    """
    require("matplotlib", "draw")
    directory.mkdir(parents=True, exist_ok=True)


def tidy(axes: Any) -> None:
    """Tidy an axes: a faint grid, and no frame but the two axes."""
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure; the suffix of ``path`` chooses PNG, SVG or PDF."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.removeprefix("."), dpi=144)
    replace_file(path, content.getvalue())


def check_steps(steps: Sequence[Any]) -> None:
    """Refuse a training without steps.

    Raises:
        ValueError: there are none.
    """
    if not steps:
        raise ValueError("steps: expected at least one, got none")
