"""Cores: the one that a thread runs on, and its departure to another, where the system's scheduler tells (Linux)."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import sys
from typing import Any

from numba import types

from minigrad.kernels.compiling.atomic import atomic_load, atomic_store
from minigrad.kernels.compiling.compiler import kernel

MASK_BYTES = 48  # of a set of cores; on machines with more than 384 nothing is moved

_sched_getcpu: Any = types.ExternalFunction("sched_getcpu", types.int32())
_AFFINITY = types.int32(types.int32, types.int64, types.int64)  # of (this thread: 0, bytes of a mask, its address)
_sched_getaffinity: Any = types.ExternalFunction("sched_getaffinity", _AFFINITY)
_sched_setaffinity: Any = types.ExternalFunction("sched_setaffinity", _AFFINITY)

if sys.platform == "linux":

    @kernel()
    def current_core():
        """Number of the core that runs this thread; -1 if unknown."""
        return _sched_getcpu()

    @kernel()
    def leave_core(core, mask):
        """Move this thread to another core, if it may run on another; ``mask`` is the address of MASK_BYTES to use."""
        if core < 8 * MASK_BYTES and _sched_getaffinity(0, MASK_BYTES, mask) >= 0:
            word, bit = mask + core // 64 * 8, 1 << core % 64
            allowed = atomic_load(word)
            atomic_store(word, allowed & ~bit)
            _sched_setaffinity(0, MASK_BYTES, mask)  # refused if no core is left
            atomic_store(word, allowed)
            _sched_setaffinity(0, MASK_BYTES, mask)

else:

    @kernel()
    def current_core():
        return -1

    @kernel()
    def leave_core(core, mask):
        pass
