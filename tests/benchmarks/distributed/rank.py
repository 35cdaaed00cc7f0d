"""A process of a run: ``mpiexec -n N python -m tests.benchmarks.distributed.rank FRAMEWORK WORKLOAD FOLDER``.

The workload is JSON; each process writes its figures to a file of the folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

from tests.benchmarks.distributed.workload import Workload
from tests.benchmarks.memory import PeakMemory
from tests.benchmarks.worker import PR_SET_PDEATHSIG


def main() -> None:
    if sys.platform == "linux":  # do not outlive the launcher
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    framework, workload, folder = sys.argv[1], Workload(**json.loads(sys.argv[2])), Path(sys.argv[3])
    side = import_module(f"tests.benchmarks.distributed.{framework}_side")
    memory = PeakMemory()
    replica = side.Replica(workload)
    for number in range(workload.warm_up):
        replica.step(number)
    memory.reset()
    replica.begin()
    losses, seconds = [], []
    for number in range(workload.steps):
        start = time.perf_counter()
        losses.append(replica.step(number))
        seconds.append(time.perf_counter() - start)
    figures = {"losses": losses, "seconds": seconds, "peak_memory": memory.read(), **replica.report()}
    rank = int(os.environ.get("PMI_RANK", 0))
    (folder / f"{rank}.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
