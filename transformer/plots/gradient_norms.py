"""Gradient norms over steps and parameters, and the effect of clipping."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transformer.plots.style import ACCENT, INK, check_steps, new_figure, save_figure, tidy
from transformer.train import Step

ROWS = 40  # maximum number of named rows
COLUMNS = 200  # steps, or groups of steps, side by side


def save_gradient_picture(
    steps: Sequence[Step], parameters: Sequence[str], path: Path, clip_norm: float | None = None
) -> None:
    """Plot the gradient norms of all parameters, and the clipping of each step.

    On top the norm of all gradients at each step, before clipping, and the limit; below it the factor that clipping by
    norm left of them. The heat map shows each parameter's share of the squared norm: those that are dark in a clipped
    step caused the clipping. With clipping by value a second one shows the share of clipped elements.

    Args:
        steps: of a training, with their ``gradient_norms``.
        parameters: their names, in the same order; many are shown by the modules they belong to.
        path: the file to write; its suffix chooses PNG, SVG or PDF.
        clip_norm: the limit, if there was one.

    Raises:
        ValueError: there are no steps, or their ``gradient_norms`` do not belong to ``parameters``.
        ModuleNotFoundError: matplotlib is not installed.
    """
    check_steps(steps)
    if any(len(step.gradient_norms) != len(parameters) for step in steps):
        raise ValueError(f"parameters: expected {len(steps[0].gradient_norms)} names, got {len(parameters)}")
    numbers = np.array([step.number for step in steps])
    squares = np.array([step.gradient_norms for step in steps], np.float64).T ** 2  # (parameters, steps)
    names, places = _rows(parameters)
    maps = [("share of the squared norm", _grouped(squares, places, np.add) / np.maximum(squares.sum(0), 1e-300))]
    if any(step.clipped_shares for step in steps):
        cut = np.array([step.clipped_shares or (0.0,) * len(parameters) for step in steps]).T
        maps.append(("share of elements cut by value", _grouped(cut, places, np.maximum)))
    heights = [1.6, 1.0, *[max(1.2, 0.17 * len(names))] * len(maps)]
    figure = new_figure(10, sum(heights) + 1.6)
    top, middle, *below = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    _draw_norms(top, numbers, steps, clip_norm)
    _draw_factors(middle, numbers, steps)
    for axes, (title, shares) in zip(below, maps, strict=True):
        _draw_map(figure, axes, numbers, shares, names, title)
    below[-1].set_xlabel("step")
    save_figure(figure, path)


def _draw_norms(axes: Any, numbers: Any, steps: Sequence[Step], clip_norm: float | None) -> None:
    axes.plot(numbers, [step.gradient_norm for step in steps], color=INK, linewidth=1, label="before clipping")
    if clip_norm is not None:
        label = f"limit {clip_norm:g}{' after clipping by value' if steps[0].clipped_shares else ''}"
        axes.axhline(clip_norm, color=ACCENT, linewidth=1, linestyle="--", label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="both", labelsize=7)
    axes.set_ylabel("norm")
    axes.set_title("Gradients of all parameters together", loc="left")
    tidy(axes)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, fontsize=7)


def _draw_factors(axes: Any, numbers: Any, steps: Sequence[Step]) -> None:
    factors = np.array([step.clip_factor for step in steps])
    axes.fill_between(numbers, factors, 1, color=ACCENT, alpha=0.6, linewidth=0, step="mid")
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("factor")
    axes.set_title(
        f"What clipping by norm left of them; {np.mean(factors < 1):.0%} of the steps were clipped", loc="left"
    )
    tidy(axes)


def _draw_map(figure: Any, axes: Any, numbers: Any, shares: Any, names: Sequence[str], title: str) -> None:
    columns = np.array_split(np.arange(len(numbers)), min(COLUMNS, len(numbers)))
    picture = np.stack([shares[:, column].mean(1) for column in columns], 1)
    extent = (numbers[0] - 0.5, numbers[-1] + 0.5, len(names) - 0.5, -0.5)
    image = axes.imshow(
        picture,
        aspect="auto",
        extent=extent,
        cmap="YlGnBu",
        vmin=0,
        vmax=max(picture.max(), 1e-9),
        interpolation="nearest",
    )
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_title(title[0].upper() + title[1:], loc="left")
    figure.colorbar(image, ax=axes, pad=0.01, format=lambda share, _: f"{share:.0%}")


def _rows(parameters: Sequence[str]) -> tuple[list[str], list[int]]:
    """Rows of a heat map: their names, and each parameter's row; modules if there are too many parameters."""
    names = list(parameters)
    depth = max(name.count(".") for name in names) if names else 0
    while len(set(names)) > ROWS and depth > 0:
        names = [".".join(name.split(".")[:depth]) for name in parameters]
        depth -= 1
    rows = list(dict.fromkeys(names))
    return rows, [rows.index(name) for name in names]


def _grouped(values: Any, places: Sequence[int], ufunc: np.ufunc) -> Any:
    """Group the parameters that share a row."""
    rows = np.zeros((max(places) + 1, values.shape[1]))
    ufunc.at(rows, list(places), values)
    return rows
