"""Commands in several processes, by ``mpiexec``: rank 0 speaks, and an error or the death of any rank is one line."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from types import FrameType

from minigrad.distributed import Group, world
from minigrad.distributed.group import FAREWELL, RANKS, launched
from transformer.cli import console

COMMANDS = ("train", "evaluate")  # that share their work out; others would do all of it in each process
PATIENCE = 10.0  # seconds for the other ranks to come to the same error
KILLED = 128  # exit status of a process that a signal ended, with its number added, as shells have it
INTERVAL = 0.1  # seconds between two looks at a rank and its launcher
PARENT_DEATH = 1  # Linux's prctl: the signal that a process gets when its parent dies


@contextmanager
def only_first() -> Iterator[None]:
    """Discard what other processes than the first print, before they are a group."""
    if _rank() in (None, "0"):
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _rank() -> str | None:
    """Rank of this process, as its launcher says."""
    return next((os.environ[name] for name in RANKS if name in os.environ), None)


def begin(command: str) -> Group:
    """Begin a command: its group, of which only rank 0 speaks.

    Raises:
        ValueError: several processes were started for a command of one.
    """
    if launched() > 1 and command not in COMMANDS:
        raise ValueError(f"expected one process, got {launched()}; mpiexec is for {' and '.join(COMMANDS)}")
    group = world()
    if group.rank:
        console.be_silent()
    return group


def fail(group: Group, message: str) -> None:
    """Report an error: once if all ranks have come to it, else with the rank's name, and the end of all."""
    if not group.all_arrive(PATIENCE):
        print(message.replace("error: ", f"error: rank {group.rank}: ", 1), file=sys.stderr, flush=True)
        group.abort(2)
    if group.rank == 0 and _rank() in (None, "0"):  # which may be the rank of a group that is not yet there
        print(message, file=sys.stderr)


def watch_over() -> None:
    """Go on in a child process, while this one waits to say which rank it was that a signal killed.

    Launchers end all processes when one dies, and MPICH's does not tell the rank. To be called before anything has
    started threads, or MPI.
    """
    rank, launcher, watcher = _rank(), os.getppid(), os.getpid()
    if launched() == 1 or rank is None or not hasattr(os, "fork"):
        return
    if not (child := os.fork()):
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL)
        if os.getppid() != watcher:  # killed before that
            os._exit(KILLED + signal.SIGKILL)
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, pass_on)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if os.getppid() != launcher:  # nobody else would end the ranks that it has started
            os.kill(child, signal.SIGKILL)
        time.sleep(INTERVAL)
    code = os.waitstatus_to_exitcode(ended[1])
    if code < 0:
        if code != -signal.SIGINT:  # which its user has sent
            print(f"rank {rank} was killed: {signal.Signals(-code).name}", file=sys.stderr, flush=True)
        time.sleep(FAREWELL)
        code = KILLED - code
    os._exit(code)
