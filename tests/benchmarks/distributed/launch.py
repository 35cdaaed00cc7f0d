"""Runs of several processes, started by ``mpiexec``, and their figures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.distributed.workload import Workload
from tests.benchmarks.peers import ROOT, WorkerError, thread_settings
from transformer.train import hidden_share
from transformer.train.trace import BACKWARD, MICROSECONDS, SUM

STORE = "TORCH_STORE"  # a variable with a file's name, by which PyTorch's processes find each other


@dataclass(frozen=True)
class Setup:
    """Number of processes, and of threads in each."""

    processes: int
    threads: int

    @classmethod
    def parse(cls, text: str) -> Setup:
        """
        >>> Setup.parse("2x1")
        Setup(processes=2, threads=1)
        """
        processes, _, threads = text.partition("x")
        setup = cls(int(processes), int(threads or 1))
        if setup.processes < 1 or setup.threads < 1:
            raise ValueError(f"expected at least one process and thread, got {text}")
        return setup

    def __str__(self) -> str:
        return f"{self.processes} × {self.threads}"


@dataclass
class Run:
    """Figures of one run."""

    seconds: float  # of a step on each batch in turn, the mean
    losses: list[float]
    peak_memory: int  # bytes of a process beyond what there was before the model, the largest
    bytes_sent: float | None = None  # by a process in a step
    bytes: int | None = None  # of all gradients
    last_bytes: int | None = None  # of the bucket that is summed last
    hidden: float | None = None  # share of the communication, from the timeline
    exposed: float | None = None  # seconds of a step that the process which came last waits for sums, the median
    alone: float | None = None  # seconds of the same sums without a backward pass, the median
    backward: float | None = None  # share of the backward pass in a step, the median
    overlap: float | None = None  # share of the backward pass that is left when the first sum starts, the median

    @property
    def hidden_by_waits(self) -> float | None:
        """Share of the communication that is not waited for."""
        return 1 - self.exposed / self.alone if self.alone and self.exposed is not None else None


@dataclass
class Side:
    """Runs of one framework in one setup, one each round."""

    framework: str
    setup: Setup
    workload: Workload
    runs: list[Run] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float | None:
        """Padded tokens, the median of the rounds."""
        return self.workload.size.tokens / self.seconds if self.runs else None

    @property
    def seconds(self) -> float:
        """Seconds of a step, the median of the rounds."""
        return median(run.seconds for run in self.runs)

    def middle(self, name: str) -> float | None:
        """Median of a figure over the rounds."""
        values = [getattr(run, name) for run in self.runs]
        known = [value for value in values if value is not None]
        return median(known) if known else None

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "framework": self.framework,
            **asdict(self.setup),
            "workload": asdict(self.workload),
            "tokens": self.workload.size.tokens,
            "runs": [asdict(run) for run in self.runs],
        }


def mpiexec() -> str:
    """The launcher beside this Python, or on the path.

    Raises:
        ValueError: it, or mpi4py, is missing.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    missing = [name for name, there in (("mpi4py", find_spec("mpi4py")), ("mpiexec", found)) if not there]
    if found is None or missing:
        raise ValueError(f"{' and '.join(missing)}: not installed; pip install '.[mpi]'")
    return found


def launch(framework: str, setup: Setup, workload: Workload) -> Run:
    """Run a workload once.

    Raises:
        WorkerError: a process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = [framework, json.dumps(asdict(workload)), folder]
        command = [mpiexec(), "-n", str(setup.processes), sys.executable, "-m", "tests.benchmarks.distributed.rank"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env={**os.environ, **thread_settings(setup.threads), STORE: str(Path(folder, "store"))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        files = [Path(folder, f"{rank}.json") for rank in range(setup.processes)]
        if done.returncode or not all(file.exists() for file in files):
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise WorkerError(f"{framework} {setup}: status {done.returncode} ({lines[-1] if lines else 'no message'})")
        return summary([json.loads(file.read_text()) for file in files])


def summary(ranks: list[dict[str, Any]]) -> Run:
    """Figures of a run from those of its processes."""
    run = Run(
        seconds=max(sum(one["seconds"]) / len(one["seconds"]) for one in ranks),
        losses=[sum(parts) for parts in zip(*(one["losses"] for one in ranks), strict=True)],
        peak_memory=max(one["peak_memory"] for one in ranks),
    )
    if "bytes" in ranks[0]:
        run.bytes, run.last_bytes = ranks[0]["bytes"], ranks[0]["last_bytes"]
        run.bytes_sent = max(one["bytes_sent"] for one in ranks)
        if len(ranks) > 1:
            run.hidden = hidden_share(ranks[0]["events"])
            run.backward, run.overlap = _shares(ranks[0]["events"], run.seconds)
            run.exposed = median(min(waits) for waits in zip(*(one["waits"] for one in ranks), strict=True))
            run.alone = median(max(times) for times in zip(*(one["alone"] for one in ranks), strict=True))
    return run


def _shares(events: list[dict[str, Any]], seconds: float) -> tuple[float, float]:
    """Share of the backward pass in a step, and of what is left of it when its first sum starts."""
    passes = [event for event in events if event["name"] == BACKWARD]
    firsts = [event for event in events if event["name"] == SUM and event["args"]["bucket"] == 1]
    left = [1 - (first["ts"] - one["ts"]) / one["dur"] for one, first in zip(passes, firsts, strict=True)]
    return median(event["dur"] for event in passes) / MICROSECONDS / seconds, median(left)
