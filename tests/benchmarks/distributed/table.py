"""Figures of several processes as a table and as JSON."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.distributed.launch import Setup, Side
from tests.benchmarks.job import OURS
from tests.benchmarks.measure import Spread
from tests.benchmarks.report import amount, duration, machine


@dataclass
class Report:
    """What was measured.

    Args:
        sides: runs of each framework, setup and workload.
        curves: losses of each setup, of ours.
        disagreement: with a peer, in words.
    """

    sides: list[Side]
    curves: dict[Setup, list[float]]
    disagreement: str | None = None

    def ratio(self, side: Side) -> Spread | None:
        """The tokens/s of a side over its peer's, of runs that follow each other."""
        for other in self.sides:
            if other.framework != OURS and (other.setup, other.workload) == (side.setup, side.workload):
                pairs = zip(other.runs, side.runs, strict=True)
                return Spread.of([theirs.seconds / ours.seconds for theirs, ours in pairs])
        return None

    def speed_up(self, side: Side) -> Spread:
        """The tokens/s of a side over those of the first setup, of the same rounds."""
        first = next(s for s in self.sides if (s.framework, s.workload) == (side.framework, side.workload))
        pairs = zip(first.runs, side.runs, strict=True)
        return Spread.of([before.seconds / after.seconds for before, after in pairs])

    def difference(self, setup: Setup) -> float | None:
        """Largest difference of a setup's losses from those of the first one."""
        if setup not in self.curves:
            return None
        first = next(iter(self.curves.values()))
        return float(np.max(np.abs(np.subtract(self.curves[setup], first))))

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for ``json.dump``; times in seconds, memory in bytes."""
        return {
            "machine": machine(os.cpu_count() or 1),
            "sides": [side.as_json() for side in self.sides],
            "curves": {str(setup): losses for setup, losses in self.curves.items()},
            "disagreement": self.disagreement,
        }


def show(report: Report, console: Console) -> None:
    """Print the table."""
    workload = report.sides[0].workload
    console.print(f"{workload.model}, {workload.size.parameters:,} parameters; medians of the rounds")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("processes × threads", no_wrap=True)
    first = report.sides[0].setup
    titles = ("tokens", "tokens/s", "±", f"over {first}", "memory", "sent", "exposed", "hidden", "not waited for")
    for title in (*titles, "loss differs", "peer tokens/s", "× peer"):
        table.add_column(title, justify="right")
    for side in report.sides:
        if side.framework == OURS:
            table.add_row(*_row(report, side))
    console.print(table)
    if report.disagreement:
        console.print(f"the peer disagrees: {report.disagreement}", style="red", markup=False)


def _row(report: Report, side: Side) -> list[str]:
    spread = Spread.of([side.workload.size.tokens / run.seconds for run in side.runs])
    sent, exposed = side.middle("bytes_sent"), side.middle("exposed")
    hidden, unwaited = side.middle("hidden"), side.middle("hidden_by_waits")
    difference, ratio = report.difference(side.setup), report.ratio(side)
    return [
        str(side.setup),
        f"{side.workload.size.tokens:,}",
        f"{spread.median:,.0f}",
        f"{max(spread[2] - spread[0], spread[0] - spread[1]) / spread[0]:.0%}",
        f"{report.speed_up(side).median:.2f}",
        amount(side.middle("peak_memory") or 0),
        amount(sent) if sent else "",
        "" if exposed is None else duration(exposed),
        "" if hidden is None else f"{hidden:.0%}",
        "" if unwaited is None else f"{unwaited:.0%}",
        "" if difference is None else f"{difference:.1e}",
        "" if ratio is None else f"{spread.median / ratio.median:,.0f}",
        "" if ratio is None else f"{ratio.median:.2f}",
    ]
