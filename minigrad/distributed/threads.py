"""Threads of the processes that share a machine: together as many as it has cores, unless the user says otherwise."""

from __future__ import annotations

import os
import warnings

from minigrad import kernels
from minigrad.distributed.group import Group


def share_cores(group: Group) -> None:
    """Give each rank of a machine its share of the cores, at least one thread; NUMBA_NUM_THREADS overrides.

    A number of ranks and threads that leaves cores idle, or has more threads than cores, is a warning of rank 0.
    """
    if group.size == 1:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks = group.neighbours()
    if "NUMBA_NUM_THREADS" not in os.environ:
        kernels.set_num_threads(min(max(cores // ranks, 1), kernels.get_num_threads()))
    used = ranks * kernels.get_num_threads()
    if group.rank == 0 and used != cores:
        state = f"{used - cores} more than there are" if used > cores else f"{cores - used} of them idle"
        warnings.warn(
            f"{ranks} rank{'s' * (ranks > 1)} × {kernels.get_num_threads()} threads on {cores} cores, {state}; "
            f"mpiexec -n and NUMBA_NUM_THREADS set both",
            stacklevel=2,
        )
