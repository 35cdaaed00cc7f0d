"""Startup times of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial

from tests.benchmarks.job import Program

# Where compiled code is kept between processes.
CACHES = ("MINIGRAD_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def import_package(package: str) -> Program:
    """``import package``, beyond what Python itself needs to start."""

    def call() -> float:
        return _seconds("-c", f"import {package}") - _seconds("-c", "pass")

    return Program(call, dict, clocked=True)


def first_step(framework: str, size: str, cold: bool) -> Program:
    """From the start of a process to the end of its first training step of a GPT, with empty caches if ``cold``."""
    run = partial(_seconds, "-m", "tests.benchmarks.first_step", framework, size)

    def call() -> float:
        if not cold:
            return run()
        with tempfile.TemporaryDirectory() as folder:
            return run(settings=dict.fromkeys(CACHES, folder))

    return Program(call, dict, clocked=True)


def _seconds(*arguments: str, settings: Mapping[str, str] | None = None) -> float:
    """Seconds of a Python process with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, env={**os.environ, **(settings or {})})
    return time.perf_counter() - start
