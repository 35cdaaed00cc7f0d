"""Thread pool whose regions wait only for parts that are under way.

A region is a task of numbered parts. Whichever thread is free takes the next one, the calling thread included: a thread
that has not begun, because other processes have the cores, holds up nothing, for the others do its work meanwhile.

The threads share a block of words, each on a cache line of its own: the task, a ticket that counts the parts nobody has
taken (and the regions, lest one is mistaken for another), the parts that are finished, and for each thread whether it
sleeps. Workers, Python's threads in a compiled loop without the GIL, fall asleep soon where nothing is left to take:
spinning, they hold a core that others may wait for, yet waking takes as long as the Python between two operations. The
caller, whose core is its own, spins longer before it sleeps until the last part is finished. They sleep on the
interpreter's own locks, which are the system's semaphores.

The scheduler may wake a worker on the caller's core and leave it there, one waiting for the other though another core
is idle: a worker that notices leaves.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from minigrad.kernels.compiling.atomic import atomic_add, atomic_load, atomic_store, compare_exchange, pause
from minigrad.kernels.compiling.compiler import intrinsic, kernel
from minigrad.kernels.compiling.cores import current_core, leave_core
from minigrad.kernels.compiling.interrupts import uninterrupted

_LINE = 64  # bytes of a cache line
TICKET, FINISHED, TASK, DATA, PARTS, CLOSED, CORE, THREADS = range(0, 8 * _LINE, _LINE)
# For the caller, then for each worker: a word that is 1 while it sleeps, the address of its lock, and a set of cores.
SLEEPER, LOCK, CORES = THREADS + _LINE, 8, 16
LEFT = (1 << 20) - 1  # the bits of a ticket that count parts

# Pauses of some ten to forty nanoseconds
CALLER_SPINS = 10_000
WORKER_SPINS = 2_000

_acquire_lock: Any = types.ExternalFunction("PyThread_acquire_lock", types.int32(types.int64, types.int32))
_release_lock: Any = types.ExternalFunction("PyThread_release_lock", types.void(types.int64))


@kernel()
def run_parts(pool, task, data, parts):
    """Run all parts of a task: the function at its address gets ``data`` and the number of a part."""
    atomic_store(pool + FINISHED, 0)
    atomic_store(pool + TASK, task)
    atomic_store(pool + DATA, data)
    atomic_store(pool + PARTS, parts)
    atomic_store(pool + CORE, current_core())
    atomic_store(pool + TICKET, (atomic_load(pool + TICKET) | LEFT) + 1 + parts)
    for number in range(1, min(parts, atomic_load(pool + THREADS))):
        wake(pool + SLEEPER + number * _LINE)
    take_parts(pool)
    spins = CALLER_SPINS
    while atomic_load(pool + FINISHED) != parts:
        if spins > 0:
            spins -= 1
            pause()
            continue
        atomic_store(pool + SLEEPER, 1)
        if atomic_load(pool + FINISHED) != parts or not compare_exchange(pool + SLEEPER, 1, 0):
            _acquire_lock(atomic_load(pool + SLEEPER + LOCK), 1)


@kernel(nogil=True)
def work(pool, number):
    """Take parts of all regions, until the pool is closed."""
    own, spins = pool + SLEEPER + number * _LINE, 0
    while not atomic_load(pool + CLOSED):
        if take_parts(pool):
            spins = WORKER_SPINS
        elif spins > 0:
            spins -= 1
            pause()
        else:
            atomic_store(own, 1)
            idle = not atomic_load(pool + TICKET) & LEFT and not atomic_load(pool + CLOSED)
            if idle or not compare_exchange(own, 1, 0):
                _acquire_lock(atomic_load(own + LOCK), 1)
                core = atomic_load(pool + CORE)
                if core == current_core() and core >= 0:
                    leave_core(core, own + CORES)
            spins = WORKER_SPINS


@kernel()
def take_parts(pool):
    """Take parts until none is left; return whether there was one."""
    found = False
    while True:
        ticket = atomic_load(pool + TICKET)
        left = ticket & LEFT
        if not left:
            return found
        # All of one region if the ticket is taken: regions last until their parts are taken and finished.
        task, data, parts = atomic_load(pool + TASK), atomic_load(pool + DATA), atomic_load(pool + PARTS)
        if compare_exchange(pool + TICKET, ticket, ticket - 1):
            found = True
            _call_task(task, data, parts - left)
            if atomic_add(pool + FINISHED, 1) == parts:
                wake(pool + SLEEPER)


@kernel()
def wake(sleeper):
    if atomic_load(sleeper) and compare_exchange(sleeper, 1, 0):
        _release_lock(atomic_load(sleeper + LOCK))


@intrinsic
def _call_task(typingctx, task, data, part):
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> ir.Value:
        task, *given = arguments
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        builder.call(builder.inttoptr(task, kind.as_pointer()), given)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


class ThreadPool:
    """The process's threads: the calling one, and workers that start when they are first needed.

    Args:
        threads: how many there are, the caller counted.
    """

    def __init__(self, threads: int) -> None:
        memory = np.zeros(SLEEPER + (threads + 1) * _LINE, np.uint8)
        self._words = memory[-memory.ctypes.data % _LINE :][: SLEEPER + threads * _LINE].view(np.int64)
        self.address = int(self._words.ctypes.data)
        self._words[THREADS // 8] = self.threads = threads
        self._words[(SLEEPER + LOCK) // 8 :: _LINE // 8] = [_held_lock() for _ in range(threads)]
        self._workers: list[threading.Thread] = []
        self._starting, self._closed, self._process = threading.Lock(), False, os.getpid()

    def ready(self) -> bool:
        """Start the workers, unless they run; False in a forked child, which they do not survive, and at exit."""
        if self._closed or self._process != os.getpid():
            return False
        if len(self._workers) < self.threads - 1:
            with uninterrupted(), self._starting:
                self._start()
        return True

    def _start(self) -> None:
        if not self._workers:
            work.compile((types.int64, types.int64))
            atexit.register(self._close)
        for number in range(len(self._workers) + 1, self.threads):
            name, arguments = f"minigrad-{number}", (self.address, number)
            worker = threading.Thread(target=work, args=arguments, name=name, daemon=True)
            worker.start()
            self._workers.append(worker)

    def _close(self) -> None:
        """End the workers, whose code is unloaded next."""
        self._closed = True
        if self._process == os.getpid():
            self._words[CLOSED // 8] = 1
            for number, worker in enumerate(self._workers, 1):
                wake(self.address + SLEEPER + number * _LINE)
                worker.join()


def _held_lock() -> int:
    """Address of a lock of the interpreter's, in the state in which acquiring it sleeps."""
    allocate, acquire = ctypes.pythonapi.PyThread_allocate_lock, ctypes.pythonapi.PyThread_acquire_lock
    allocate.restype, acquire.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int)
    lock: int = allocate()
    acquire(lock, 1)
    return lock
