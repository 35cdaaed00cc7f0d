"""Distributed training over MPI: processes, their collective operations, and data parallelism.

:mod:`~minigrad.distributed.group` → :mod:`~minigrad.distributed.gradients`,
:mod:`~minigrad.distributed.sharded_optimizer`.
"""

from minigrad.distributed.gradients import GradientSums
from minigrad.distributed.group import Group, all_reduce, barrier, broadcast, rank, size, world
from minigrad.distributed.sharded_optimizer import ShardedOptimizer

__all__ = ["GradientSums", "Group", "ShardedOptimizer", "all_reduce", "barrier", "broadcast", "rank", "size", "world"]
