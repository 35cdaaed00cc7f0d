"""Group of processes: ranks, and collective operations over MPI, without copies and pickles.

``mpiexec -n 4 python train.py`` starts four processes, the ranks 0 to 3 of one group. A collective operation is called
by all of them, in the same order, and returns when the caller's part is done. A process that was started alone is a
group of one, and needs no MPI.

Sums of floats are taken in the order of the ranks: for each number of ranks they are the same to the bit in every run,
whatever network and MPI library there is. float32 is summed in float64 and rounded once.

Source: Message Passing Interface Forum, "MPI: A Message-Passing Interface Standard", version 4.1, chapter 6.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from types import TracebackType
from typing import Any, TypeVar, cast

import numpy as np

from minigrad import kernels
from minigrad.distributed.threads import cores, share_cores
from minigrad.engine.tensor import Array, Tensor, write_to
from minigrad.optional_imports import require

T = TypeVar("T")

# Set for each process by MPICH and Intel's MPI, Open MPI, Slurm: how many were started, and which of them it is
SIZES, RANKS = (
    ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"),
    ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"),
)
EXTREMES = ("max", "min")  # exact in any order, as sums of integers are: MPI's own operations serve
# MPI libraries move messages only while they are called, between processes of a machine by some 16 KiB a call: a
# backward pass advances its sums once for each parameter, and must move megabytes meanwhile. An idle call takes 0.4 µs.
POLLS = 32
# MPI waits in a loop of polls, on a core that another rank may need to get there; ours pauses after a while.
SPINS, PAUSE = 2000, 5e-5  # polls without a pause, a millisecond of them; seconds between later ones
FAREWELL = 0.2  # seconds before the end of all processes, in which the launcher passes on what this one has said


class Group:
    """Group of processes that work together: this process's rank, the size, and the collective operations.

    Arrays are ndarrays or tensors, of the same shape and dtype on all ranks; they are changed in place.

    Args:
        communicator: of mpi4py; None: this process alone.
    """

    def __init__(self, communicator: Any = None) -> None:
        self._communicator = communicator
        # Calls on one communicator come in the same order on all ranks: the stages of sums, and ends, have their own.
        self._scattering, self._gathering, self._arriving = (communicator and communicator.Dup() for _ in range(3))
        self.rank: int = 0 if communicator is None else communicator.rank
        self.size: int = 1 if communicator is None else communicator.size
        self._abandoned: list[Sum] = []
        self.bytes_sent = 0  # by this rank's sums and broadcasts of arrays, for reports

    def all_reduce(self, array: Array | Tensor, op: str = "sum") -> None:
        """Replace an array by its elementwise sum, maximum or minimum over all ranks.

        Raises:
            ValueError: ``op`` is unknown, or the array cannot be written to.
        """
        if op not in ("sum", *EXTREMES):
            raise ValueError(f"op: expected one of sum, {', '.join(EXTREMES)}, got {op!r}")
        with _changing(array) as data:
            if self.size == 1:
                return
            if op == "sum" and data.dtype.kind == "f":
                self.start_sum(data).wait()
            else:
                mpi = require("mpi4py.MPI", "mpi")
                _wait(self._communicator.Iallreduce(mpi.IN_PLACE, data, getattr(mpi, op.upper())))

    def broadcast(self, array: Array | Tensor, root: int = 0) -> None:
        """Replace an array by that of one rank."""
        with _changing(array) as data:
            if self.size > 1:
                _wait(self._communicator.Ibcast(data, root))
                self.bytes_sent += data.nbytes * (self.rank == root)

    def barrier(self) -> None:
        """Wait until all ranks have come here."""
        if self.size > 1:
            _wait(self._communicator.Ibarrier())

    def all_gather(self, content: bytes) -> list[bytes]:
        """The bytes of every rank, by rank."""
        if self.size == 1:
            return [content]
        lengths = np.zeros(self.size, np.int64)
        _wait(self._communicator.Iallgather(np.array([len(content)], np.int64), lengths))
        whole = np.empty(int(lengths.sum()), np.uint8)
        parts = [whole, (lengths, _starts(lengths))]
        _wait(self._communicator.Iallgatherv(np.frombuffer(content, np.uint8), parts))
        return [part.tobytes() for part in np.split(whole, _starts(lengths)[1:])]

    def all_gather_pieces(self, whole: Array, counts: Sequence[int]) -> None:
        """Complete an array of which each rank holds a piece: ``counts[rank]`` elements, one piece after the other."""
        if self.size > 1:
            mpi = require("mpi4py.MPI", "mpi")
            _wait(self._communicator.Iallgatherv(mpi.IN_PLACE, [whole, (counts, _starts(counts))]))
            self.bytes_sent += (self.size - 1) * counts[self.rank] * whole.itemsize

    def start_sum(self, array: Array) -> Sum:
        """Start to replace a float array by its sum over all ranks, while this process goes on.

        All ranks start the same sums in the same order, and finish them in that order.
        """
        return Sum(self, self._scattering, self._gathering, array)

    def abandon(self, sums: Sequence[Sum]) -> None:
        """Keep the memory of sums that an error prevents from being finished: messages may still come into it."""
        self._abandoned += sums

    def on_first(self, work: Callable[[], T]) -> T | None:
        """Result of ``work`` on rank 0, None on the others, which wait for it.

        Raises:
            Exception: that of the work, on rank 0.
            RuntimeError: on the others, when it failed there.
        """
        result, error = None, None
        if self.rank == 0:
            try:
                result = work()
            except Exception as raised:
                error = raised
        message, *_ = self.all_gather(b"" if error is None else (str(error) or type(error).__name__).encode())
        if error is not None:
            raise error
        if message:
            raise RuntimeError(f"rank 0: {message.decode()}")
        return result

    def first(self, work: Callable[[], T]) -> T:
        """Result of ``work``, which rank 0 does before the others, so that they find what it leaves, such as files.

        Raises:
            Exception: as of :meth:`on_first`, or that of the work.
        """
        result = self.on_first(work)
        return work() if self.rank else cast(T, result)

    def neighbours(self) -> int:
        """Number of ranks, this one included, that run on the same cores: on one machine, and not bound apart."""
        if self.size == 1:
            return 1
        mpi = require("mpi4py.MPI", "mpi")
        place = f"{mpi.Get_processor_name()} {cores()}".encode()
        return self.all_gather(place).count(place)

    def all_arrive(self, seconds: float) -> bool:
        """Wait until all ranks have called this, so long at most; True if they have."""
        if self.size == 1:
            return True
        arrival, end = self._arriving.Ibarrier(), time.monotonic() + seconds
        while not (arrived := arrival.Test()) and time.monotonic() < end:
            time.sleep(0.01)
        return bool(arrived)

    def abort(self, status: int) -> None:
        """End all processes of the group at once, this one too."""
        if self.size > 1:
            time.sleep(FAREWELL)
            self._communicator.Abort(status)
            os._exit(status)  # MPICH may return, while the launcher goes about it


class Sum:
    """Sum of an array over all ranks, under way: every rank adds up one piece of it, and sends that to the others.

    Each rank sends 2 (N - 1) / N times the array's bytes, which no other way undercuts. Source: Rabenseifner,
    "Optimization of Collective Reduction Operations", 2004, section 4.
    """

    def __init__(self, group: Group, scattering: Any, gathering: Any, array: Array) -> None:
        self.start, self.end = time.perf_counter(), math.inf  # the end is noted when this rank notices it
        self.bytes = array.nbytes
        if group.size == 1:
            self.end = self.start
            return
        self._gathering, self._rank, self._whole = gathering, group.rank, array.reshape(-1)
        self._counts = np.diff(np.arange(group.size + 1) * array.size // group.size)
        self._starts = _starts(self._counts)
        own = int(self._counts[group.rank])
        self._parts = np.empty((group.size, own), array.dtype)  # of this rank's piece, from every rank
        received = (np.full(group.size, own), np.arange(group.size) * own)
        sent = [self._whole, (self._counts, self._starts)]
        self._request = scattering.Ialltoallv(sent, [self._parts, received])
        self._gathers = False
        group.bytes_sent += (array.size - own + (group.size - 1) * own) * array.itemsize

    def advance(self) -> bool:
        """Go on without waiting; True when this rank's piece is summed and on its way to the others."""
        if self.end < math.inf:
            return True
        if not any(self._request.Test() for _ in range(POLLS)):
            return self._gathers
        if self._gathers:
            self.end = time.perf_counter()
        else:
            self._gather()
        return True

    def wait(self) -> None:
        """Wait until the sum is complete."""
        if self.end < math.inf:
            return
        _wait(self._request)
        if not self._gathers:
            self._gather()
            _wait(self._request)
        self.end = time.perf_counter()

    def _gather(self) -> None:
        """Add the parts in the order of the ranks, and send the piece of the sum to the others."""
        start, count = self._starts[self._rank], self._counts[self._rank]
        kernels.sum_parts(self._parts, self._whole[start : start + count])
        mpi = require("mpi4py.MPI", "mpi")
        self._request = self._gathering.Iallgatherv(mpi.IN_PLACE, [self._whole, (self._counts, self._starts)])
        self._gathers = True


ALONE = Group()


def _wait(request: Any) -> None:
    """Wait for a request, in the end without keeping a core busy."""
    if any(request.Test() for _ in range(SPINS)):
        return
    while not any(request.Test() for _ in range(POLLS)):
        time.sleep(PAUSE)


@cache
def world() -> Group:
    """Group of all processes that an MPI launcher started together with this one.

    Those of one machine share its cores from now on: see :func:`~minigrad.distributed.threads.share_cores`.

    Raises:
        ModuleNotFoundError: there are several, and mpi4py is not installed.
        RuntimeError: the launcher and the MPI library do not understand each other, so that each process is alone.
    """
    if (started := launched()) == 1 and "PMIX_RANK" not in os.environ:
        return ALONE
    communicator = require("mpi4py.MPI", "mpi").COMM_WORLD
    if communicator.size < started:
        raise RuntimeError(
            f"mpi: {started} processes were started, but MPI sees {communicator.size}: the launcher belongs to another "
            "MPI library than mpi4py's; start with that library's mpiexec, or with srun --mpi=pmi2"
        )
    if communicator.size == 1:
        return ALONE
    group = Group(communicator)
    sys.excepthook = partial(_end_all, group)
    share_cores(group.neighbours(), speaks=group.rank == 0)
    if group.rank:
        kernels.silence_compilation()
    return group


def _end_all(group: Group, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """End all processes after an error that one does not handle: the others would wait for it without an end."""
    sys.__excepthook__(kind, error, trace)
    print(f"rank {group.rank} of {group.size} has failed: {kind.__name__}", file=sys.stderr, flush=True)
    group.abort(1)


def launched() -> int:
    """Number of processes that a launcher says it has started together; without loading MPI."""
    return max(int(os.environ.get(name, 1)) for name in SIZES)


def rank() -> int:
    """Rank of this process in the :func:`world`, from 0."""
    return world().rank


def size() -> int:
    """Number of processes in the :func:`world`."""
    return world().size


def all_reduce(array: Array | Tensor, op: str = "sum") -> None:
    """Replace an array or a tensor by its elementwise sum, ``"max"`` or ``"min"`` over all ranks; see :class:`Group`.

    Example:
        >>> import minigrad as mg
        >>> x = mg.ones(2)
        >>> mg.distributed.all_reduce(x)  # by each of the processes of mpiexec -n N
        >>> bool((x == mg.distributed.size()).all())
        True
    """
    world().all_reduce(array, op)


def broadcast(array: Array | Tensor, root: int = 0) -> None:
    """Replace an array or a tensor by that of the rank ``root``."""
    world().broadcast(array, root)


def barrier() -> None:
    """Wait until all ranks have come here."""
    world().barrier()


@contextmanager
def _changing(array: Array | Tensor) -> Iterator[Array]:
    """The array, or a contiguous copy that is written back, for a change that is announced."""
    if isinstance(array, Tensor):
        write_to(array)
        array = array.data
    if not array.flags.writeable:
        raise ValueError(f"array: expected a writable one, got a read-only one of shape {array.shape}")
    data = array if array.flags.c_contiguous else array.copy()
    yield data
    if data is not array:
        array[...] = data


def _starts(counts: Sequence[int] | Array) -> Array:
    """Offsets of parts that stand one after the other."""
    return np.concatenate(([0], np.cumsum(counts)[:-1]))
