"""A process that runs one framework: ``python -m tests.benchmarks.worker FRAMEWORK THREADS``.

It is asked over standard input and answers on standard output, one pickled message each: ``(command, *arguments)``,
then ``("done", answer)`` or ``("failed", one line)``.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from statistics import median
from typing import Any

from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Job, Program
from tests.benchmarks.memory import PeakMemory

PR_SET_PDEATHSIG = 1  # prctl(2)
WARM_UP_SHARE = 5  # a batch repeats the call for a fifth of its length before the clock starts
MOST_CALLS = 2000
LONG_CALL = 0.25  # seconds after which cold caches no longer matter


class Server:
    """The commands of a worker."""

    def __init__(self, framework: str, threads: int) -> None:
        self._framework = import_module(f"tests.benchmarks.frameworks.{framework}_side")
        self._framework.start(threads)
        self._program: Program
        self._memory: PeakMemory
        self._seconds = 0.0

    def prepare(self, job: Job) -> float:
        """Build the job and call it once; returns that call's seconds, compilation included."""
        self._memory = PeakMemory()
        self._program = self._build(job, {})
        self._seconds = self._timed()
        return self._seconds

    def results(self, job: Job) -> dict[str, Array]:
        """Results of the job from its start, as arrays."""
        return self._build(job, job.checked_with).results()

    def run(self, function: str, *arguments: Any) -> Any:
        """Result of a function of the framework's module."""
        return getattr(self._framework, function)(*arguments)

    def peak_memory(self) -> int | None:
        """The most memory that a call needs, in bytes, beyond what there was before the job."""
        if self._program.clocked:  # what counts happens in other processes
            return None
        self._memory.reset()
        self._seconds = self._timed()
        return self._memory.read()

    def batch(self, seconds: float) -> list[float]:
        """The seconds of each of the calls, one after the other, that fill so much time; after a warm-up."""
        calls = max(1, min(MOST_CALLS, round(seconds / self._seconds)))
        if self._seconds < LONG_CALL:
            for _ in range(1 + calls // WARM_UP_SHARE):
                self._timed()
        times = [self._timed() for _ in range(calls)]
        self._seconds = median(times)  # the next batch counts on it
        return times

    def _timed(self) -> float:
        start = time.perf_counter()
        answer = self._program.call()
        return float(answer) if self._program.clocked else time.perf_counter() - start

    def _build(self, job: Job, changed: Any) -> Program:
        options = {**job.options, **changed}
        function = getattr(self._framework, job.operation)
        if not job.inputs:
            return function(**options)
        return self._framework.program(function, job.inputs, job.gradients_of, options)


def serve(ask: Callable[[], tuple[Any, ...]], answer: Callable[[str, Any], None], server: Server) -> None:
    """Answer commands until there are no more."""
    while True:
        try:
            command, *arguments = ask()
        except EOFError:
            return
        try:
            answer("done", getattr(server, command)(*arguments))
        except Exception as error:
            answer("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")


def main() -> None:
    if sys.platform == "linux":  # do not outlive whoever started this process, not even stopped
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The channel gets a descriptor of its own: what libraries print goes to standard error.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(kind: str, value: Any) -> None:
        pickle.dump((kind, value), channel, pickle.HIGHEST_PROTOCOL)
        channel.flush()

    framework, threads = sys.argv[1], int(sys.argv[2])
    server = Server(framework, threads)
    answer("done", None)
    serve(lambda: pickle.load(sys.stdin.buffer), answer, server)


if __name__ == "__main__":
    main()
