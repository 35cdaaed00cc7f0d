"""Benchmark jobs, goals and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.benchmarks.inputs import Array, Input

OURS = "minigrad"


@dataclass(frozen=True)
class Job:
    """One benchmark: an operation of the modules in ``frameworks``, with its inputs and what it costs at least.

    Args:
        group: the jobs whose ratios are averaged.
        name: what tells it apart within the group.
        operation: the function of that name in each framework's module. With ``inputs`` it is a function of tensors;
            without, it gets the options alone and returns a :class:`Program`.
        peers: the frameworks to compare with, by name.
        inputs: the function's tensors.
        gradients_of: the inputs to differentiate for, in a backward pass that is timed too; none: forward only.
        options: keyword arguments beyond the inputs.
        checked_with: options that take the place of others while results are compared: no dropout.
        flops: multiplications and additions that the job needs.
        bytes: memory traffic that the job needs, every array being read or written once.
        terms: how many numbers a result sums up, which says how far rounding errors may grow.
        roundoff: the unit roundoff of peers that compute in less than the results' precision. What they choose may then
            differ, so that of their results floating ones alone are compared.
        work: (count, unit) that one call gets done, such as tokens.
        fresh: start new processes for it, so that its memory starts from nothing.
        once: it takes so long that the first call is the measurement.
        share_goal: the share of the machine's limit that it should reach.
        seconds_goal: how long it should take at most.
    """

    group: str
    name: str
    operation: str
    peers: tuple[str, ...]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    gradients_of: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    checked_with: Mapping[str, Any] = field(default_factory=dict)
    flops: float = 0.0
    bytes: float = 0.0
    terms: int = 1
    roundoff: Mapping[str, float] = field(default_factory=dict)
    work: tuple[float, str] | None = None
    fresh: bool = False
    once: bool = False
    share_goal: float | None = None
    seconds_goal: float | None = None

    @property
    def full_name(self) -> str:
        """Name on the command line."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True)
class Goal:
    """Goal of a group's jobs, relative to their peers.

    Args:
        ratios: for each peer, the least geometric mean of its time over ours.
        least_ratio: what no single job's ratio may fall below.
    """

    ratios: Mapping[str, float] = field(default_factory=dict)
    least_ratio: float | None = None


@dataclass(frozen=True)
class Program:
    """A job ready to run.

    Args:
        call: does it once and returns when it is done.
        results: the named outputs and gradients to compare with other frameworks'.
            It is asked of a program of its own, before any call.
        clocked: ``call`` returns the seconds that count, instead of being timed from outside.
    """

    call: Callable[[], Any]
    results: Callable[[], dict[str, Array]]
    clocked: bool = False


class Limits(NamedTuple):
    """In float32 operations and in bytes a second; a copied byte counts twice, for it is read and written."""

    one_thread_flops: float
    flops: float
    copy: float

    def seconds(self, flops: float, traffic: float) -> float:
        """Lower bound of the seconds: that of the scarcer limit."""
        return max(flops / self.flops, traffic / self.copy)
