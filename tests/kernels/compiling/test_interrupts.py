"""Deferred KeyboardInterrupt."""

from __future__ import annotations

import signal
import threading

import pytest

from minigrad.kernels.compiling.interrupts import uninterrupted


def _nested(reached: list[str]) -> None:
    with uninterrupted():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            reached.append("inner")
        reached.append("outer")


def _twice(reached: list[str]) -> None:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        reached.append("first")
        signal.raise_signal(signal.SIGINT)
        reached.append("second")


@pytest.mark.usefixtures("heeded")
def test_ctrl_c_waits_for_the_end_of_the_block_and_a_second_one_does_not():
    handler = signal.getsignal(signal.SIGINT)
    for run, expected in ((_nested, ["inner", "outer"]), (_twice, ["first"])):
        reached: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            run(reached)
        assert reached == expected
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_error_in_the_block_is_not_lost_and_an_ignored_signal_is_left_alone():
    with pytest.raises(ValueError, match="wrong"), uninterrupted():
        raise ValueError("wrong")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_are_not_interrupted_anyway():
    handlers = []

    def run() -> None:
        with uninterrupted():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
