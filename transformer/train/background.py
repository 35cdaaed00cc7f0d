"""Checkpoints in the background: written from a copy, in a thread of its own, while the training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from minigrad.kernels.compiling.interrupts import uninterrupted
from transformer.pretrained.snapshot import Member, write_snapshot
from transformer.train.checkpoint import RETAINED, Checkpoint
from transformer.train.log import LOG, Log

Contents = Iterable[tuple[str, bytes | None]]


class CheckpointWriter:
    """Background writer of checkpoints, each in one snapshot with the log. At most one write is under way.

    Its errors are raised in the thread that waits for it. Ctrl-C waits for the end of a write; a second one does not,
    but the write goes on: leaving the ``with`` block waits for it, and so does the end of the process.

    Args:
        directory: of the training.
        log: its open log.
        saved: steps in the checkpoint that is there.
    """

    def __init__(self, directory: Path, log: Log, saved: int) -> None:
        self._directory, self._log = directory, log
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self.saved = saved  # also while it is being written; 0 if that failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def submit(self, checkpoint: Checkpoint, companions: Callable[[], Contents]) -> None:
        """Copy a checkpoint and its companions, and begin to write them. An earlier write is waited for.

        A log that has passed its limit is thinned in the same snapshot: once in a long while, this waits for the disk.

        Raises:
            Exception: that of the earlier write; then this one is not begun.
        """
        self.wait()  # one copy in memory at a time
        thinned = self._log.thinned()
        logged = self._log.written if thinned is None else Member.of(thinned)
        position = replace(checkpoint.position, log_length=logged.size)
        contents = [*replace(checkpoint, position=position).files(), *companions()]
        with uninterrupted():
            self.saved = position.step
            self._pending = self._thread.submit(self._write, contents, logged, thinned)
        if thinned is not None:  # no step may be logged meanwhile
            self.wait()

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

    def _write(self, contents: Contents, logged: Member, thinned: bytes | None) -> None:
        try:
            if thinned is None:
                self._log.sync()
                write_snapshot(self._directory, contents, appended={LOG: logged}, retained=RETAINED)
            else:
                with self._log.replaced(thinned):
                    write_snapshot(self._directory, [(LOG, thinned), *contents], retained=RETAINED)
        except BaseException:
            self.saved = 0
            raise


class WrittenElsewhere:
    """Checkpoints as other ranks than the first see them: they are written, by that one."""

    def __init__(self, saved: int) -> None:
        self.saved = saved

    def submit(self, checkpoint: Checkpoint, companions: Callable[[], Contents]) -> None:
        self.saved = checkpoint.position.step

    def wait(self) -> None:
        pass
