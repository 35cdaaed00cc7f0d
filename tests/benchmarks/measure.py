"""Measurement of a job: every framework in its own process, alternating, A B A B."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any, Protocol, Self

from tests.benchmarks.agreement import disagreement
from tests.benchmarks.inputs import Array
from tests.benchmarks.job import OURS, Job
from tests.benchmarks.peers import Worker, WorkerError


class Spread(tuple[float, float, float]):
    """Median, lower and upper quartile."""

    __slots__ = ()

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """
        >>> Spread.of([4.0, 1.0, 3.0, 2.0, 5.0])
        (3.0, 2.0, 4.0)
        """
        if len(values) == 1:
            return cls((values[0],) * 3)
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls((middle, low, high))

    @property
    def median(self) -> float:
        return self[0]


@dataclass
class Side:
    """Measurements of one framework in one job."""

    rounds: list[float] = field(default_factory=list)  # the median seconds of a call, in each round
    first_call: float | None = None  # seconds, compilation included
    peak_memory: int | None = None  # bytes beyond what there was before the job
    error: str | None = None  # why there are no times, or why they are not comparable

    @property
    def seconds(self) -> Spread | None:
        return Spread.of(self.rounds) if self.rounds else None


@dataclass
class Measurement:
    """A job and how each framework did it."""

    job: Job
    sides: dict[str, Side]

    def ratio(self, peer: str) -> Spread | None:
        """The peer's time over ours, of rounds that follow each other."""
        pairs = zip(self.sides[peer].rounds, self.sides[OURS].rounds, strict=False)
        ratios = [theirs / ours for theirs, ours in pairs]
        return Spread.of(ratios) if ratios else None

    @property
    def errors(self) -> list[str]:
        return [side.error for side in self.sides.values() if side.error]


class Asked(Protocol):
    """Protocol of a measured worker."""

    framework: str

    def ask(self, command: str, *arguments: Any) -> Any: ...


@dataclass(frozen=True)
class Effort:
    """Effort of measuring: rounds, and the target seconds of a batch of calls."""

    rounds: int = 7
    batch_seconds: float = 0.2


def measure(job: Job, workers: Sequence[Asked], effort: Effort, tell: Callable[[str], None]) -> Measurement:
    """Run a job on all workers in turns.

    Args:
        job: what to run.
        workers: ours first.
        effort: how long.
        tell: told what is happening now, in a few words.
    """
    sides = {worker.framework: Side() for worker in workers}
    ours = None
    for worker in workers:
        side = sides[worker.framework]
        try:
            tell(f"{worker.framework}: first call")
            side.first_call = worker.ask("prepare", job)
            if job.once:
                side.rounds.append(side.first_call)
                continue
            side.peak_memory = worker.ask("peak_memory")
            results = worker.ask("results", job)
            if worker.framework == OURS:
                ours = results
            elif ours is not None and (difference := _difference(job, worker, ours, results)):
                side.error = f"{worker.framework} disagrees: {difference}"
        except WorkerError as error:
            side.error = str(error)
    if not job.once:
        _take_turns(job, workers, sides, effort, tell)
    return Measurement(job, sides)


def _difference(job: Job, worker: Asked, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> str | None:
    """The first difference that the peer's rounding does not explain."""
    return disagreement(ours, theirs, job.terms, job.roundoff.get(worker.framework))


def _take_turns(
    job: Job, workers: Sequence[Asked], sides: Mapping[str, Side], effort: Effort, tell: Callable[[str], None]
) -> None:
    for number in range(1, effort.rounds + 1):
        for worker in workers:
            side = sides[worker.framework]
            if side.error:
                continue
            tell(f"{worker.framework}: round {number} of {effort.rounds}")
            try:
                times = worker.ask("batch", effort.batch_seconds)
                side.rounds.append(Spread.of(times).median)
            except WorkerError as error:
                side.error = str(error)


def geometric_mean(values: Iterable[float]) -> float | None:
    """
    >>> geometric_mean([1.0, 4.0])
    2.0
    """
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


class Crew:
    """The workers of the frameworks that are asked for; kept from job to job, unless a job wants new ones."""

    def __init__(self, frameworks: Sequence[str], threads: int) -> None:
        self._frameworks = frameworks
        self._threads = threads
        self._workers: dict[str, Worker] = {}

    def for_job(self, job: Job) -> list[Worker]:
        """Ours, and those of the job's peers."""
        wanted = [name for name in self._frameworks if name == OURS or name in job.peers]
        for name, worker in list(self._workers.items()):
            if job.fresh or not worker.alive or name not in wanted:
                self._workers.pop(name).close()
        for name in wanted:
            if name not in self._workers:
                self._workers[name] = Worker(name, self._threads)
        workers = [self._workers[name] for name in wanted]
        for worker in workers:  # they load side by side, but none while another measures
            worker.wait_until_ready()
        return workers

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
