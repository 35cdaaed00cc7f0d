"""Distributed training over MPI: processes, their collective operations, and data parallelism.

:mod:`~minigrad.distributed.threads` → :mod:`~minigrad.distributed.group` → :mod:`~minigrad.distributed.gradients`,
:mod:`~minigrad.distributed.sharded_optimizer`.
"""

from minigrad.distributed.gradients import GradientSums, PassTimes, SumTimes
from minigrad.distributed.group import ALONE, Group, all_reduce, barrier, broadcast, rank, size, world
from minigrad.distributed.sharded_optimizer import ShardedOptimizer

__all__ = [
    "ALONE",
    "GradientSums",
    "Group",
    "PassTimes",
    "ShardedOptimizer",
    "SumTimes",
    "all_reduce",
    "barrier",
    "broadcast",
    "rank",
    "size",
    "world",
]
