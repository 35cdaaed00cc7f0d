"""Jobs of several processes, started by ``mpiexec`` beside this Python, or on the path."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import pytest

ROOT = Path(__file__).parent.parent
BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
MISSING = [name for name, there in (("mpi4py", find_spec("mpi4py")), ("mpiexec", MPIEXEC)) if not there]
MARK = "MINIGRAD_TEST_JOB"  # in the environment of a job's processes, by which they are found
TIMEOUT = 300.0  # seconds, of a job

needs_mpi = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}: pip install '.[mpi]'")
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs the /proc of Linux")


class Done(NamedTuple):
    """End of a job."""

    status: int
    out: str
    err: str


class Job:
    """Job of several processes, of which none is left after the ``with`` block.

    Args:
        ranks: number of processes.
        arguments: of Python: a module after ``-m``, or a script.
        env: variables to add to the environment.
        stdout, stderr: as for :class:`subprocess.Popen`.
    """

    def __init__(
        self,
        ranks: int,
        *arguments: object,
        env: dict[str, str] | None = None,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
    ) -> None:
        self.name = uuid.uuid4().hex
        environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: self.name, **(env or {})}
        assert MPIEXEC is not None
        command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,  # signals to it are not signals to the tests
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        for pid in self.processes():
            send(pid, signal.SIGKILL)
        self.process.communicate()

    def processes(self, rank: int | None = None) -> list[int]:
        """Processes of the job that are still there, in the order in which they were started; of one rank, or all."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                variables = (folder / "environ").read_bytes().split(b"\0")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:  # ended meanwhile
                continue
            wanted = {f"{MARK}={self.name}".encode(), *([] if rank is None else [f"PMI_RANK={rank}".encode()])}
            if wanted <= set(variables) and state != "Z":
                found.append(int(folder.name))
        return sorted(found)

    def wait(self, timeout: float = TIMEOUT) -> Done:
        """Wait for the end of the launcher."""
        out, err = self.process.communicate(timeout=timeout)
        return Done(self.process.returncode, out or "", err or "")

    def all_gone(self, timeout: float = 30.0) -> bool:
        """Wait until no process of the job is left; True if none is."""
        end = time.monotonic() + timeout
        while self.processes() and time.monotonic() < end:
            time.sleep(0.01)
        return not self.processes()


def send(pid: int, number: int) -> None:
    """Send a signal to a process, unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def run(ranks: int, *arguments: object, timeout: float = TIMEOUT, env: dict[str, str] | None = None) -> Done:
    """Run a job to its end."""
    with Job(ranks, *arguments, env=env) as job:
        return job.wait(timeout)


def run_well(ranks: int, *arguments: object, timeout: float = TIMEOUT, env: dict[str, str] | None = None) -> str:
    """Run a job that ends well; what it said on standard output."""
    done = run(ranks, *arguments, timeout=timeout, env=env)
    assert done.status == 0, f"{done.out}\n{done.err}"
    return done.out
