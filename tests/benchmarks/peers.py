"""Available frameworks, and worker processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.job import OURS

# The name of a framework, and the package it needs.
FRAMEWORKS = {
    OURS: "minigrad",
    **{"numpy": "numpy", "torch": "torch", "compile": "torch", "jax": "jax"},
    **{"onnxruntime": "onnxruntime", "ctranslate2": "ctranslate2"},
    **dict.fromkeys(("transformers", "transformers_compile"), "transformers"),
    **{"onnxruntime_genai": "onnxruntime_genai", "llama_cpp": "llama_cpp"},
}
ROOT = Path(__file__).resolve().parents[2]


def installed(framework: str) -> bool:
    """True if a framework's package is installed."""
    return find_spec(FRAMEWORKS[framework]) is not None


class WorkerError(Exception):
    """A worker could not do what it was asked to; the message is one line."""


class Worker:
    """A process of one framework. It is stopped whenever it is not working.

    Waiting politely is not enough: thread pools spin for a while after their last task, and settings that forbid it
    (``OMP_WAIT_POLICY=PASSIVE``) would slow the work itself. So the process rests by SIGSTOP.
    """

    def __init__(self, framework: str, threads: int) -> None:
        self.framework = framework
        # Its words are shown only if it fails.
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", framework, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            cwd=ROOT,
            env={**os.environ, **thread_settings(threads)},
            start_new_session=True,  # signals reach what it starts, too, and the terminal's do not reach it
        )
        self._starting = True

    def ask(self, command: str, *arguments: Any) -> Any:
        """Have a command of ``worker.Server`` carried out, and wait for the answer.

        Raises:
            WorkerError: the command failed, or the process ended.
        """
        self._signal(signal.SIGCONT)
        try:
            if self._starting:
                self._receive()
                self._starting = False
            assert self._process.stdin is not None
            pickle.dump((command, *arguments), self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            return self._receive()
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise WorkerError(self._obituary()) from None
        finally:
            self._signal(signal.SIGSTOP)

    def wait_until_ready(self) -> None:
        """Return when the framework is loaded."""
        if self._starting:
            try:
                self._receive()
            except EOFError:
                raise WorkerError(self._obituary()) from None
            self._starting = False
            self._signal(signal.SIGSTOP)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._words.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        kind, value = pickle.load(self._process.stdout)
        if kind == "failed":
            raise WorkerError(f"{self.framework}: {value}")
        return value

    def _obituary(self) -> str:
        status = self._process.wait()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(words) if line.strip()), "it said nothing")
        return f"{self.framework}: its process {how} ({last})"

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            os.killpg(self._process.pid, number)


def thread_settings(threads: int) -> dict[str, str]:
    """The environment that gives every library the same number of threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
