"""Deferred KeyboardInterrupt, for imports and compilations of Numba's that cannot be repeated once cut short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer Ctrl-C to the end of a block.

    Python interrupts its main thread only, and other handlers of the signal are asked, too, once the block has ended. A
    second Ctrl-C does not wait.
    """
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(handler):  # the signal is ignored, or not Python's affair
        yield
        return
    caught: list[tuple[int, Any]] = []

    def put_off(number: int, frame: Any) -> None:
        caught.append((number, frame))
        if len(caught) > 1:
            handler(number, frame)

    signal.signal(signal.SIGINT, put_off)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if caught:
            handler(*caught[0])
