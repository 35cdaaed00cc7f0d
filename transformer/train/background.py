"""Background writer: one write at a time, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from minigrad.kernels.compiling.interrupts import uninterrupted


class BackgroundWriter:
    """Background writer: at most one write is under way, and its error is raised where it is waited for.

    Ctrl-C waits for the end of a write. A second one does not, and the write goes on: leaving the ``with`` block
    waits for it, and so does the end of the process.

    Example:
        >>> written = []
        >>> with BackgroundWriter() as writer:
        ...     writer.submit(lambda: written.append(1))
        ...     writer.wait()
        >>> written
        [1]
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def submit(self, write: Callable[[], None]) -> None:
        """Start a write, once an earlier one has ended.

        Raises:
            Exception: that of the earlier one; then this one is not started.
        """
        self.wait()
        self._pending = self._thread.submit(write)

    def wait(self) -> None:
        """Wait for the write under way, if there is one.

        Raises:
            Exception: that of the write, once.
        """
        if self._pending is None:
            return
        with uninterrupted():
            wait([self._pending])
        written, self._pending = self._pending, None
        written.result()
