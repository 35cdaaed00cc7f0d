"""Background load: other processes that compute on the machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_COMPUTE = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"  # no orphan goes on


@contextmanager
def background_load(processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that compute on one core each, during a ``with`` block."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(processes):
            running.append(subprocess.Popen([sys.executable, "-c", _COMPUTE], start_new_session=True))
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
