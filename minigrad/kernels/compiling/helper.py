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
def compile_beside(dtype: str) -> None:
    """Compile what else a training step needs, in a process that ends with this one, if there are cores for two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if min(cores, int(os.environ.get(PROCESSES) or cores)) < 2 or not (CLAIMS and sys.executable and code_is_kept()):
        return
    command = [sys.executable, "-P", "-m", KERNELS, "--dtype", dtype, "--training"]
    environment = {
        **os.environ,
        PROCESSES: "1",
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    try:
        helper = subprocess.Popen(command, env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    except OSError:
        return
    atexit.register(helper.terminate)
    threading.Thread(target=helper.wait, daemon=True).start()  # or it would stay as a zombie
