"""Signals of schedulers: a checkpoint on SIGUSR1, a checkpoint and the end on SIGTERM, agreed on by all ranks."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np

from minigrad.distributed import Group

STOPPED = 128  # exit status of a process that a signal ended, with the signal's number added, as shells have it


def _nothing_to_save(number: int, frame: FrameType | None) -> None:
    pass


DEFAULTS = (signal.SIG_DFL, signal.default_int_handler, _nothing_to_save)  # others are a program's own, and stay


def survive_requests() -> None:
    """Survive SIGUSR1, which ends a process by default, also before a training and after it."""
    number = getattr(signal, "SIGUSR1", None)
    main = threading.current_thread() is threading.main_thread()
    if main and number is not None and signal.getsignal(number) is signal.SIG_DFL:
        signal.signal(number, _nothing_to_save)


class Signals:
    """Signals that came since, noted between steps: a ``with`` block in the main thread.

    SIGTERM, which schedulers send before they kill, ends a training after a checkpoint, and SIGUSR1, which Slurm can
    send some time before (``--signal=USR1@120``), writes one. With several ranks Ctrl-C waits for the end of a step,
    too: they stop together.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._handlers: dict[int, Any] = {}
        self._stop, self._save = 0, False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGUSR1")]
            numbers += [signal.SIGINT] if self._group.size > 1 else []
            for number in filter(None, numbers):
                if (handler := signal.getsignal(number)) in DEFAULTS:
                    self._handlers[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            # Launchers repeat a signal, and a rank that has ended waits for those that save: not with a handler of
            # Python's, which are gone by then.
            ends = isinstance(error, SystemExit) and number == signal.SIGTERM
            signal.signal(number, signal.SIG_IGN if ends else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGUSR1", None):
            self._save = True
        else:
            self._stop = number

    def heed(self) -> bool:
        """Act on the signals of all ranks; True if a checkpoint is asked for.

        Raises:
            SystemExit: the training shall end.
            KeyboardInterrupt: by Ctrl-C.
        """
        asked = np.array([self._stop, self._save])
        self._group.all_reduce(asked, "max")
        self._save = False
        stop, save = asked.tolist()
        if stop == signal.SIGINT:
            raise KeyboardInterrupt
        if stop:
            raise SystemExit(STOPPED + stop)
        return bool(save)
