"""Roofline plot of the benchmarks, below the machine's limits."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.optional_imports import install_command
from tests.benchmarks.job import OURS
from tests.benchmarks.report import Report

# Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
# Communications of the ACM 52, 2009.
MARKERS = {OURS: "o", "numpy": "s", "torch": "^", "compile": "v", "jax": "D"}
COLOURS = {OURS: "#c2185b", "numpy": "#4e79a7", "torch": "#f28e2b", "compile": "#b07aa1", "jax": "#59a14f"}


SUFFIXES = (".svg", ".png", ".pdf")


def check_plot(path: Path) -> None:
    """Notice before a long run what would fail after it.

    Raises:
        ValueError: the plot cannot be drawn to this path.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected one of {', '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise ValueError(f"the plot needs matplotlib: {install_command('draw')}")


def save_plot(report: Report, path: Path) -> None:
    """Draw arithmetic intensity against speed, in the format that the path's suffix names."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes: Any = figure.subplots()
    points = {name: _points(report, name) for name in (OURS, *report.peers())}
    intensities = [intensity for found in points.values() for intensity, _ in found]
    ridge = report.limits.flops / report.limits.copy
    reach = np.geomspace(min([ridge / 10, *intensities]) / 2, max([ridge * 10, *intensities]) * 2, 200)
    axes.plot(reach, np.minimum(report.limits.flops, reach * report.limits.copy) / 1e9, color="black")
    limits = report.limits
    for text, x, y, place, side in (
        (f"{limits.flops / 1e9:.0f} GFLOP/s", reach[-1], limits.flops, (0, 4), "right"),
        (f"{limits.copy / 1e9:.0f} GB/s", reach[0], reach[0] * limits.copy, (14, 2), "left"),
    ):
        axes.annotate(text, (x, y / 1e9), place, textcoords="offset points", ha=side)
    for name, found in points.items():
        if found:
            x, y = zip(*found, strict=True)
            axes.scatter(
                x, np.array(y) / 1e9, s=24, c=COLOURS[name], marker=MARKERS[name], label=name, alpha=0.8, linewidths=0
            )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="operations for each byte of memory traffic",
        ylabel="GFLOP/s",
        title=f"Reached and reachable with {report.threads} thread{'s' * (report.threads > 1)}, float32",
    )
    if any(points.values()):
        axes.legend()
    axes.grid(True, which="both", alpha=0.2)
    figure.savefig(path)


def _points(report: Report, framework: str) -> list[tuple[float, float]]:
    """Intensity and speed of every job whose operations and bytes are known."""
    found = []
    for measurement in report.measurements:
        job, side = measurement.job, measurement.sides.get(framework)
        if side is not None and side.seconds is not None and job.flops and job.bytes:
            found.append((job.flops / job.bytes, job.flops / side.seconds.median))
    return found
