"""Progress of the measurements on standard error."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console
from rich.status import Status

PATIENCE = 2.0  # seconds before anything is shown
PIPE_SECONDS = 10.0  # between the lines of a progress that nobody watches live


class Progress:
    """A line that changes in a terminal; elsewhere a line now and then.

    Args:
        total: the number of benchmarks.
    """

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._status = Status("", console=self._console)
        self._total, self._number, self._name = total, 0, ""
        self._next = time.monotonic() + PATIENCE

    def start(self, name: str) -> None:
        """The next benchmark."""
        self._number += 1
        self._name = f"{self._number}/{self._total} {name}: "

    def tell(self, words: str) -> None:
        """Activity within the benchmark."""
        if time.monotonic() < self._next:
            return
        if self._console.is_terminal:
            self._status.update(self._name + words)
            self._status.start()
        else:
            self._console.print(self._name + words, soft_wrap=True)
            self._next = time.monotonic() + PIPE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
