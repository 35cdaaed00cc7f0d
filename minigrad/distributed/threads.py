"""Threads of processes that share a machine: together as many as it has cores, unless the user says otherwise."""

from __future__ import annotations

import os
import warnings

from minigrad import kernels


def cores() -> list[int]:
    """Cores that this process may run on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def share_cores(ranks: int, *, speaks: bool) -> None:
    """Give this process its share of the cores, at least one thread; NUMBA_NUM_THREADS overrides.

    Args:
        ranks: processes that run on the same cores, this one included.
        speaks: warn where ranks and threads leave cores idle, or are more than there are.
    """
    count = len(cores())
    if "NUMBA_NUM_THREADS" not in os.environ:
        kernels.set_num_threads(min(max(count // ranks, 1), kernels.get_num_threads()))
    threads = kernels.get_num_threads()
    used = ranks * threads
    if speaks and used != count:
        state = f"{used - count} more than there are" if used > count else f"{count - used} of them idle"
        warnings.warn(
            f"{ranks} rank{'s' * (ranks > 1)} × {threads} thread{'s' * (threads > 1)} on {count} cores, {state}; "
            "mpiexec -n and NUMBA_NUM_THREADS set both",
            stacklevel=3,
        )
