"""The command line of the benchmark of several processes."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from minigrad.io import replace_file
from tests.benchmarks.agreement import disagreement
from tests.benchmarks.distributed.launch import Setup, Side, launch, mpiexec
from tests.benchmarks.distributed.table import Report, show
from tests.benchmarks.distributed.workload import ENCODER_DECODER, MODELS, Workload
from tests.benchmarks.job import OURS
from tests.benchmarks.peers import WorkerError, installed
from tests.benchmarks.progress import Progress

PEER = "torch"
SETUPS = ("1x2", "2x1", "4x1", "8x1")
CHECKED_STEPS = 3  # whose losses must agree with the peer's, without dropout


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.distributed",
        description="Data-parallel training in several processes, beside PyTorch's DistributedDataParallel over Gloo.",
    )
    parser.add_argument("--model", choices=MODELS, default=ENCODER_DECODER, help="network (%(default)s)")
    text = f"processes × threads of each, the first for reference ({' '.join(SETUPS)})"
    parser.add_argument("--setups", nargs="+", default=SETUPS, metavar="NxT", help=text)
    text = "padded tokens of each batch, one after the other (the model's own)"
    parser.add_argument("--tokens", nargs="+", type=int, default=[0], metavar="N", help=text)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--steps", type=int, default=6, metavar="N", help="timed steps of a run (%(default)s)")
    text = "steps whose losses are compared with those of the first setup; 0: none (%(default)s)"
    parser.add_argument("--curve", type=int, default=50, metavar="N", help=text)
    parser.add_argument("--no-peer", action="store_true", help="do not run PyTorch")
    parser.add_argument("--json", type=Path, metavar="PATH", help="save every figure")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and show; the exit status says whether all agreed."""
    options = parser().parse_args(arguments)
    try:
        mpiexec()
        setups = [Setup.parse(text) for text in options.setups]
        workloads = [Workload(options.model, tokens, options.steps) for tokens in options.tokens]
        if (rows := min(workload.rows for workload in workloads)) < max(setup.processes for setup in setups):
            raise ValueError(f"expected at most {rows} processes, as many as the smallest batch has rows")
        if min(options.rounds, options.steps) < 1:
            raise ValueError("expected at least one round and one step")
        if options.json is not None and not options.json.absolute().parent.is_dir():
            raise ValueError(f"{options.json}: there is no folder {options.json.parent}")
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    frameworks = [OURS]
    if not options.no_peer and installed(PEER):
        frameworks.append(PEER)
    try:
        report = run(frameworks, setups, workloads, options.rounds, options.curve)
    except WorkerError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    show(report, Console(highlight=False, width=None if sys.stdout.isatty() else 200))
    if options.json is not None:
        replace_file(options.json, (json.dumps(report.as_json(), indent=2) + "\n").encode())
    return 1 if report.disagreement else 0


def run(
    frameworks: Sequence[str], setups: Sequence[Setup], workloads: Sequence[Workload], rounds: int, curve: int
) -> Report:
    """Run all setups of all frameworks in turns, and then compare their losses.

    Raises:
        WorkerError: a process failed.
    """
    sides = [Side(name, setup, workload) for workload in workloads for setup in setups for name in frameworks]
    curves: dict[Setup, list[float]] = {}
    with Progress(rounds + 2) as progress:
        for number in range(1, rounds + 1):
            progress.start(f"round {number}")
            for side in sides:
                progress.tell(f"{side.framework} {side.setup}")
                side.runs.append(launch(side.framework, side.setup, side.workload))
        progress.start("losses")
        if curve:
            for setup in setups:
                progress.tell(f"{OURS} {setup}")
                curves[setup] = launch(OURS, setup, replace(workloads[0], steps=curve, warm_up=0)).losses
        progress.start("agreement")
        difference = _disagreement(frameworks, setups[-1], workloads[0])
    return Report(sides, curves, difference)


def _disagreement(frameworks: Sequence[str], setup: Setup, workload: Workload) -> str | None:
    """The first difference between the frameworks' losses that rounding does not explain."""
    checked = replace(workload, dropout=0.0, steps=CHECKED_STEPS, warm_up=0)
    ours, *theirs = [
        {"losses": np.array(launch(framework, setup, checked).losses, np.float32)}
        for framework in (frameworks if len(frameworks) > 1 else [])
    ] or [{}]
    return next(filter(None, (disagreement(ours, other, workload.size.tokens) for other in theirs)), None)


if __name__ == "__main__":
    sys.exit(main())
