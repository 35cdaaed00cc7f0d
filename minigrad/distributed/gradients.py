"""Data parallelism: sums of gradients over a group, sent in buckets while the backward pass goes on.

Every rank has a replica of the model and a share of each batch; the sum of their gradients is that of the whole batch.
Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", 2020, section 3.2.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from minigrad.distributed.group import Group, Sum
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.gradients import HookHandle

BUCKET_BYTES = 4 << 20  # large against a message's latency, small against what a backward pass has still to compute


class SumTimes(NamedTuple):
    """Times of one bucket's sum, by :func:`time.perf_counter`; its end is when this rank has noticed it."""

    start: float
    end: float
    bytes: int  # of the bucket


class PassTimes(NamedTuple):
    """Times of a backward pass and of the sums that it has started, by :func:`time.perf_counter`."""

    start: float
    waiting: float  # the pass has ended, and waiting for the rest of the sums begins
    end: float
    sums: list[SumTimes]


class GradientSums:
    """Sums of the gradients over a group: a ``with`` block for the backward pass that completes them.

    The parameters' gradients are sums over the ranks after the block. They are views of buckets: one message carries
    many. A bucket goes out when its last gradient is complete and all earlier ones are out, from the last parameter to
    the first, about the order in which a backward pass finishes them. A parameter that no rank has used keeps None.

    Args:
        parameters: the same, in the same order, on all ranks.
        group: of the ranks.
        bucket_bytes: of a bucket, at least, but for the last one.

    Attributes:
        times: of the last block, or None.

    Example:
        >>> import minigrad as mg
        >>> weight = mg.nn.Parameter(np.ones(3, np.float32))
        >>> sums = GradientSums([weight], mg.distributed.world())
        >>> with sums:
        ...     (weight * 2).sum().backward()
        >>> weight.grad / mg.distributed.size()
        tensor([2., 2., 2.])
    """

    def __init__(self, parameters: Iterable[Tensor], group: Group, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.group = group
        self._parameters = list(parameters)
        self._buckets = _buckets(self._parameters, bucket_bytes) if group.size > 1 else []
        self._bucket_of = {id(tensor): bucket for bucket in self._buckets for tensor in bucket.parameters}
        self._hooks: list[HookHandle] = []
        self._started: list[Sum] = []
        self._entered = 0.0
        self.times: PassTimes | None = None

    def __enter__(self) -> Self:
        if self.group.size > 1:
            for bucket in self._buckets:
                bucket.complete = []
            hook = self._complete
            self._hooks = [tensor.register_post_accumulate_grad_hook(hook) for tensor in self._parameters]
        self._entered = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        waiting, sums = time.perf_counter(), []
        if kind is None and self.group.size > 1:
            sums = self._finish()
        self.times = PassTimes(self._entered, waiting, time.perf_counter(), sums)
        self.group.abandon(self._started)
        self._started = []

    def _complete(self, tensor: Tensor) -> None:
        """Note that a gradient is complete; start the sums of full buckets, and help on those under way."""
        bucket = self._bucket_of[id(tensor)]
        if any(tensor is other for other in bucket.complete):
            raise RuntimeError("GradientSums: expected one backward pass in its block, got a second one")
        bucket.complete.append(tensor)
        self._start()
        for pending in self._started:
            if not pending.advance():
                break  # sums are finished in the same order on all ranks

    def _start(self, *, rest: bool = False) -> None:
        """Start the sums of full buckets, in their order; with ``rest``, of all."""
        for bucket in self._buckets[len(self._started) :]:
            if not rest and len(bucket.complete) < len(bucket.parameters):
                return
            self._started.append(self.group.start_sum(bucket.fill()))

    def _finish(self) -> list[SumTimes]:
        """Wait for all sums, and give the parameters those that only other ranks have a part in."""
        self._start(rest=True)
        for pending in self._started:
            pending.wait()
        times = [SumTimes(done.start, done.end, done.bytes) for done in self._started]
        self._started = []
        used = np.array([tensor.grad is not None for tensor in self._parameters], np.uint8)
        self.group.all_reduce(used, "max")
        for tensor, by_any in zip(self._parameters, used.tolist(), strict=True):
            if by_any and tensor.grad is None:
                tensor.grad = Tensor(self._bucket_of[id(tensor)].gradient(tensor))
        return times


class _Bucket:
    """Bucket: gradients of one dtype, one after the other in one array."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self.complete: list[Tensor] = []
        self._values = np.empty(sum(tensor.size for tensor in parameters), parameters[0].dtype)
        ends = np.cumsum([tensor.size for tensor in parameters]).tolist()
        self._places = {id(tensor): slice(end - tensor.size, end) for tensor, end in zip(parameters, ends, strict=True)}

    def gradient(self, tensor: Tensor) -> Array:
        """A parameter's gradient in the bucket."""
        return self._values[self._places[id(tensor)]].reshape(tensor.shape)

    def fill(self) -> Array:
        """Move the parameters' gradients into the bucket, zeros where there is none."""
        for tensor in self.parameters:
            place = self.gradient(tensor)
            place[...] = 0 if tensor.grad is None else tensor.grad.data
            if tensor.grad is not None:
                tensor.grad = Tensor(place)
        return self._values


def _buckets(parameters: Sequence[Tensor], bucket_bytes: int) -> list[_Bucket]:
    """Buckets from the last parameter to the first."""
    buckets: list[_Bucket] = []
    waiting: dict[Any, list[Tensor]] = {}  # by dtype
    for tensor in reversed(parameters):
        group = waiting.setdefault(tensor.dtype, [])
        group.append(tensor)
        if sum(one.data.nbytes for one in group) >= bucket_bytes:
            buckets.append(_Bucket(waiting.pop(tensor.dtype)))
    return buckets + [_Bucket(group) for group in waiting.values()]
