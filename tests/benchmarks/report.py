"""Measurements as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.job import OURS, Goal, Limits
from tests.benchmarks.measure import Measurement, Side, Spread, geometric_mean
from tests.benchmarks.peers import FRAMEWORKS

PIPE_WIDTH = 240  # all peers beside each other


@dataclass
class Report:
    """One run: the machine's limits, and what was measured."""

    limits: Limits
    threads: int
    measurements: list[Measurement]
    goals: Mapping[str, Goal]
    interrupted: bool = False
    busy: int = 0  # other processes that computed meanwhile

    def share(self, measurement: Measurement, framework: str = OURS) -> float | None:
        """The part of the machine's limit that a framework reached: of the arithmetic or of the memory, by the job."""
        job, seconds = measurement.job, measurement.sides[framework].seconds
        if seconds is None or not (job.flops or job.bytes):
            return None
        return self.limits.seconds(job.flops, job.bytes) / seconds.median

    def peers(self) -> list[str]:
        """The frameworks beside ours, in a fixed order."""
        found = {name for measurement in self.measurements for name in measurement.sides}
        return [name for name in FRAMEWORKS if name in found and name != OURS]

    def groups(self) -> dict[str, dict[str, Any]]:
        """For each group and peer: the geometric mean of the ratios, the least of them, and what was to be reached."""
        found: dict[str, dict[str, Any]] = {}
        for group in dict.fromkeys(measurement.job.group for measurement in self.measurements):
            members = [measurement for measurement in self.measurements if measurement.job.group == group]
            goal = self.goals.get(group, Goal())
            found[group] = {}
            for peer in self.peers():
                ratios = [m.ratio(peer) for m in members if peer in m.sides]
                known = [ratio.median for ratio in ratios if ratio is not None]
                if known:
                    found[group][peer] = {
                        "geometric_mean": geometric_mean(known),
                        "least": min(known),
                        "jobs": len(known),
                        "goal": goal.ratios.get(peer),
                        "least_goal": goal.least_ratio if peer in goal.ratios else None,
                    }
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for ``json.dump``; times in seconds, memory in bytes."""
        return {
            "machine": machine(self.threads),
            "busy": self.busy,
            "limits": self.limits._asdict(),
            "jobs": [self._job_as_json(measurement) for measurement in self.measurements],
            "groups": self.groups(),
        }

    def _job_as_json(self, measurement: Measurement) -> dict[str, Any]:
        job = measurement.job
        sides = {}
        for name, side in measurement.sides.items():
            sides[name] = {
                "seconds": _spread(side.seconds),
                "rounds": side.rounds,
                "first_call": side.first_call,
                "peak_memory": side.peak_memory,
                "share_of_limit": self.share(measurement, name),
                "error": side.error,
            }
        return {
            "name": job.full_name,
            "group": job.group,
            "flops": job.flops or None,
            "bytes": job.bytes or None,
            "work": job.work,
            "share_goal": job.share_goal,
            "seconds_goal": job.seconds_goal,
            "sides": sides,
            "ratios": {peer: _spread(measurement.ratio(peer)) for peer in measurement.sides if peer != OURS},
        }


def machine(threads: int) -> dict[str, Any]:
    """Machine: processor, threads, and versions."""
    versions = {"python": platform.python_version()}
    for package in ("minigrad", "numba", *dict.fromkeys(FRAMEWORKS.values())):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"processor": _processor(), "cores": os.cpu_count(), "threads": threads, "versions": versions}


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    names = [line for line in listing.read_text().splitlines() if "model name" in line] if listing.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor()


def _spread(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else dict(zip(("median", "lower_quartile", "upper_quartile"), spread, strict=True))


def save_json(report: Report, path: Path) -> None:
    """Save as JSON, atomically."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    unfinished.replace(path)


def show(report: Report) -> None:
    """Print the tables."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    limits = report.limits
    console.print(
        "Times are medians, ± is the farther quartile, ! misses its goal; a ratio above 1 says that we are faster."
    )
    console.print(
        f"{report.threads} threads: {limits.flops / 1e9:.0f} GFLOP/s ({limits.one_thread_flops / 1e9:.0f} on one), "
        f"copies at {limits.copy / 1e9:.1f} GB/s read and written"
        + (f"; beside {report.busy} processes that compute" if report.busy else "")
    )
    console.print(_jobs_table(report))
    if report.groups():
        console.print(_groups_table(report))
    for measurement in report.measurements:
        for error in measurement.errors:
            console.print(f"{measurement.job.full_name}: {error}", style="red", markup=False, soft_wrap=True)


def _jobs_table(report: Report) -> Table:
    peers = report.peers()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("benchmark", no_wrap=True)
    for title in (OURS, "±", "of limit", "speed", "first call", "memory", *(_ratio_title(peer) for peer in peers)):
        table.add_column(title, justify="right", no_wrap=True)
    for measurement in report.measurements:
        ours = measurement.sides[OURS]
        table.add_row(
            measurement.job.full_name,
            *_figures(report, measurement, ours),
            *(_compared(measurement, peer) for peer in peers),
        )
    return table


def _ratio_title(peer: str) -> str:
    return f"× {peer}"


def _figures(report: Report, measurement: Measurement, side: Side) -> list[str]:
    if side.seconds is None:
        return ["[red]failed[/]", "", "", "", "", ""]
    job, (median, low, high) = measurement.job, side.seconds
    return [
        _missed(duration(median), job.seconds_goal is not None and median > job.seconds_goal),
        f"{max(high - median, median - low) / median:.0%}",
        _share(report, measurement),
        _speed(report.limits, measurement, median),
        "" if side.first_call is None else duration(side.first_call),
        "" if side.peak_memory is None else amount(side.peak_memory),
    ]


def _share(report: Report, measurement: Measurement) -> str:
    share, goal = report.share(measurement), measurement.job.share_goal
    if share is None:
        return ""
    return _missed(f"{share:.0%} {_scarce(report.limits, measurement)}", goal is not None and share < goal)


def _missed(text: str, missed: bool) -> str:
    """Marked, also where there are no colours, if a goal was missed."""
    return f"[yellow]{text} ![/]" if missed else text


def _scarce(limits: Limits, measurement: Measurement) -> str:
    """Limit of the machine that bounds a job."""
    job = measurement.job
    return "FMA" if job.flops / limits.flops >= job.bytes / limits.copy else "copy"


def _speed(limits: Limits, measurement: Measurement, seconds: float) -> str:
    job = measurement.job
    if job.work:
        count, unit = job.work
        return f"{count / seconds:,.0f} {unit}/s"
    if _scarce(limits, measurement) == "FMA":
        return f"{job.flops / seconds / 1e9:.0f} GFLOP/s" if job.flops else ""
    return f"{job.bytes / seconds / 1e9:.1f} GB/s"


def _compared(measurement: Measurement, peer: str) -> str:
    """The ratio, and the peer's memory where memory is judged."""
    if peer not in measurement.sides:
        return ""
    side, ratio = measurement.sides[peer], measurement.ratio(peer)
    if side.error or ratio is None:
        return "[red]failed[/]"
    memory = f" ({amount(side.peak_memory)})" if measurement.job.fresh and side.peak_memory is not None else ""
    return f"{ratio.median:.2f}{memory}"


def _groups_table(report: Report) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title="A peer's time over ours",
    )
    table.add_column("group", no_wrap=True)
    for title in ("peer", "geometric mean", "goal", "least", "goal", "jobs"):
        table.add_column(title, justify="right")
    for group, peers in report.groups().items():
        for peer, figures in peers.items():
            table.add_row(
                group,
                peer,
                _judged(figures["geometric_mean"], figures["goal"]),
                _goal(figures["goal"]),
                _judged(figures["least"], figures["least_goal"]),
                _goal(figures["least_goal"]),
                str(figures["jobs"]),
            )
    return table


def _goal(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _judged(value: float, goal: float | None) -> str:
    return _missed(f"{value:.2f}", goal is not None and value < goal)


def duration(seconds: float) -> str:
    """
    >>> duration(0.00123), duration(4.2e-6), duration(12.3)
    ('1.23 ms', '4.2 µs', '12.3 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def amount(size: float) -> str:
    """
    >>> amount(3_200_000), amount(12_000)
    ('3.2 MB', '0 MB')
    """
    return f"{size / 1e6:.1f} MB" if 1e6 <= size < 1e7 else f"{size / 1e6:.0f} MB"
