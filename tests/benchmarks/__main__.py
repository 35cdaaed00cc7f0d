"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.job import OURS, Job, Limits
from tests.benchmarks.jobs import GOALS, select
from tests.benchmarks.load import background_load
from tests.benchmarks.measure import Crew, Effort, Measurement, measure
from tests.benchmarks.peers import FRAMEWORKS, Worker, WorkerError, installed
from tests.benchmarks.progress import Progress
from tests.benchmarks.report import Report, save_json, show
from tests.benchmarks.roofline import check_plot, save_plot

PEERS = [name for name in FRAMEWORKS if name != OURS]
QUICK = Effort(rounds=3, batch_seconds=0.02)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="How fast the package is, beside its peers and beside what the machine can do.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a group or a benchmark, * and ? allowed; all if none")
    parser.add_argument("--peer", action="append", metavar="NAME", help=f"compare with this only: {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=_positive, metavar="N", help=f"turns of each framework ({Effort().rounds})")
    parser.add_argument(
        "--threads", type=_positive, default=cores(), metavar="N", help="threads of each framework (%(default)s)"
    )
    parser.add_argument(
        "--busy", type=_count, default=0, metavar="N", help="other processes that compute meanwhile (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="save every figure")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="draw the roofline: .svg, .png or .pdf")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and do nothing else")
    parser.add_argument("--quick", action="store_true", help="short batches and few rounds: to try things out")
    return parser


def _count(text: str, least: int = 0) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"expected at least {least}, got {value}")
    return value


def _positive(text: str) -> int:
    return _count(text, 1)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were asked for; the exit status says whether all agreed."""
    options = parser().parse_args(arguments)
    try:
        jobs = select(options.names)
        for peer in options.peer or []:
            if peer not in PEERS:
                raise ValueError(f"unknown peer {peer!r}; there are {', '.join(PEERS)}")
        if options.plot:
            check_plot(options.plot)
        for path in (options.json, options.plot):
            if path is not None and not path.absolute().parent.is_dir():
                raise ValueError(f"{path}: there is no folder {path.parent}")
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(job.full_name for job in jobs))
        return 0
    effort = QUICK if options.quick else Effort()
    if options.rounds:
        effort = Effort(options.rounds, effort.batch_seconds)
    frameworks = [OURS]
    for peer in options.peer or PEERS:
        if installed(peer):
            frameworks.append(peer)
        elif any(peer in job.peers for job in jobs):
            print(f"benchmarks: {peer} is not installed", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # workers are ended on the way out
    try:
        report = run(jobs, frameworks, options.threads, effort, options.busy)
    except WorkerError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    if report.interrupted:
        left = len(jobs) - len(report.measurements)
        print(f"benchmarks: interrupted, {left} of {len(jobs)} are not measured", file=sys.stderr)
    show(report)
    if options.json:
        save_json(report, options.json)
    if options.plot:
        save_plot(report, options.plot)
    if report.interrupted:
        return 128 + signal.SIGINT
    return 1 if any(measurement.errors for measurement in report.measurements) else 0


def run(jobs: Sequence[Job], frameworks: Sequence[str], threads: int, effort: Effort, busy: int = 0) -> Report:
    """Measure the jobs in their order, beside ``busy`` other processes, and the machine's limits before and after.

    An interrupt keeps what was measured.

    Raises:
        WorkerError: the limits cannot be measured.
    """
    measurements: list[Measurement] = []
    interrupted = False
    with Progress(len(jobs)) as progress:
        progress.tell("the machine's limits")
        limits = _limits(threads)
        try:
            with background_load(busy), Crew(frameworks, threads) as crew:
                for job in jobs:
                    progress.start(job.full_name)
                    measurements.append(measure(job, crew.for_job(job), effort, progress.tell))
            progress.tell("the machine's limits")
            limits = Limits(*map(max, limits, _limits(threads)))
        except KeyboardInterrupt:
            interrupted = True
    return Report(limits, threads, measurements, GOALS, interrupted, busy)


def _limits(threads: int) -> Limits:
    with Worker(OURS, threads) as worker:
        limits: Limits = worker.ask("run", "measure_limits", threads)
        return limits


if __name__ == "__main__":
    sys.exit(main())
