"""Figure of the three comparisons: recall, translation quality, training speed."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from minigrad.io import replace_file
from minigrad.optional_imports import require
from transformer.examples.copy_memory import ALPHABET
from transformer.examples.studies import MODELS, Memory, Quality, Speed

# Colours that people with any kind of colour vision tell apart: Okabe and Ito, 2008.
INK = dict(zip(MODELS, ("#999999", "#e69f00", "#0072b2", "#d55e00"), strict=True))
MARKS = dict(zip(MODELS, "^sDo", strict=True))


def save_figure(
    memory: Sequence[Memory], translation: Sequence[Quality], speed: Sequence[Speed], paths: Sequence[Path]
) -> None:
    """Draw all curves, three panels side by side.

    Args:
        memory, translation, speed: the points.
        paths: files to write; the suffix of each chooses PNG, SVG or PDF.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    figure = require("matplotlib.figure", "draw").Figure(figsize=(15, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)

    _curves(left, memory, lambda point: (point.distance, 100 * point.recall))
    left.axhline(100 / ALPHABET, color="black", linestyle=":", linewidth=1, label="guessing")
    left.set(title="Copy memory", xlabel="blanks to remember ten symbols over", ylabel="symbols recalled, %")
    left.set_ylim(0, 104)
    _doublings(left, sorted({point.distance for point in memory}))

    _curves(middle, translation, lambda point: (point.tokens, point.bleu))
    middle.set(title="Translation", xlabel="tokens of the source, mean of a bucket", ylabel="BLEU, held out")
    middle.set_ylim(0, 104)
    middle.set_xlim(left=0)

    _curves(right, speed, lambda point: (point.length, point.tokens_per_second))
    right.set(title="Training", xlabel="sequence length; as many tokens in every batch", ylabel="tokens/s")
    right.set_ylim(bottom=0)
    right.yaxis.set_major_formatter("{x:,.0f}")
    _doublings(right, sorted({point.length for point in speed}))

    for axes in (left, middle, right):
        axes.grid(True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels))
    for path in paths:
        content = io.BytesIO()
        figure.savefig(content, format=path.suffix.removeprefix("."), dpi=144)
        replace_file(path, content.getvalue())


def _curves(axes: Any, points: Sequence[Any], place: Callable[[Any], tuple[float, float]]) -> None:
    """Draw a curve for each model."""
    for name in MODELS:
        x, y = zip(*(place(point) for point in points if point.model == name), strict=True)
        axes.plot(x, y, color=INK[name], marker=MARKS[name], markersize=5, linewidth=2, label=name)


def _doublings(axes: Any, ticks: Sequence[int]) -> None:
    """Set a logarithmic horizontal axis with the measured values as ticks."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
