"""A second process that compiles kernels into the same cache, on a core that would be idle.

Numba compiles one function at a time in a process, whatever the number of threads. Claims keep two processes from
compiling the same kernel; see ``CodeCache.claim``.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from functools import cache
from subprocess import DEVNULL

from minigrad.kernels.compiling.code_cache import CLAIMS
from minigrad.kernels.compiling.compiler import KERNELS, code_is_kept

# Set to 1, this process alone compiles. A helper has no helper.
PROCESSES = "MINIGRAD_COMPILE_PROCESSES"


@cache
def compile_beside(dtype: str) -> subprocess.Popen[bytes] | None:
    """Compile what else a training step needs in a process that ends with this one; None if there is no core for it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if min(cores, int(os.environ.get(PROCESSES) or cores)) < 2 or not (CLAIMS and sys.executable and code_is_kept()):
        return None
    command = [sys.executable, "-P", "-m", KERNELS, "--dtype", dtype, "--training"]
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    environment = {**os.environ, PROCESSES: "1", "PYTHONPATH": path}
    try:
        helper = subprocess.Popen(command, env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    except OSError:
        return None
    atexit.register(_end, helper)
    threading.Thread(target=helper.wait, daemon=True).start()  # or it would stay as a zombie
    return helper


def _end(helper: subprocess.Popen[bytes]) -> None:
    helper.terminate()
    helper.wait()
