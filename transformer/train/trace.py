"""Timeline of a training on all ranks, as a Chrome trace: for chrome://tracing and https://ui.perfetto.dev.

Source: Google, "Trace Event Format", 2016: complete events, with times in microseconds; the process is the rank.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minigrad.distributed import Group, PassTimes
from minigrad.io import replace_file

STEPS = 100  # the last ones, of which events are kept
MICROSECONDS = 1e6  # in a second
BACKWARD, WAITING, SUM = "backward", "wait for sums", "sum of a bucket"  # names of events
SUFFIX = ".json"

Event = dict[str, Any]
Intervals = list[tuple[float, float]]  # apart from each other, in order


class Trace:
    """Trace: the spans of the last steps on this rank, and the file of those of all ranks.

    A rank is a process of the trace. Its first track holds the parts of each step; further ones hold the sums of
    buckets, each from its start until the rank has noticed its end, as many tracks as there are sums at a time. The
    clocks of several machines are aligned where the trace begins.

    Args:
        group: of the ranks; all of them begin a trace together.
        steps: the last ones, which are kept.
    """

    def __init__(self, group: Group, steps: int = STEPS) -> None:
        self._group = group
        self._steps: deque[list[Event]] = deque(maxlen=steps)
        self._events: list[Event] = []  # since the last step
        group.barrier()
        self._start = time.perf_counter()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Span of a ``with`` block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._add(name, start, time.perf_counter())

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Span of a step, with all that came since the one before; the oldest of too many steps is dropped."""
        with self.span(f"step {number}"):
            yield
        self._steps.append(self._events)
        self._events = []

    def add_sums(self, times: PassTimes) -> None:
        """Add a backward pass, its sums, and the wait for them."""
        self._add(BACKWARD, times.start, times.waiting)
        if times.sums:
            self._add(WAITING, times.waiting, times.end)
        free: list[float] = []  # of each track of sums, the time from which it is
        for number, one in enumerate(times.sums, 1):
            track = next((track for track, since in enumerate(free) if since <= one.start), len(free))
            free[track : track + 1] = [one.end]
            self._add(SUM, one.start, one.end, track + 1, bucket=number, bytes=one.bytes)

    def _add(self, name: str, start: float, end: float, track: int = 0, **details: Any) -> None:
        times = {"ts": MICROSECONDS * (start - self._start), "dur": MICROSECONDS * (end - start)}
        place = {"pid": self._group.rank, "tid": track}
        self._events.append({"name": name, "ph": "X", **times, **place, "args": details})

    def events(self) -> list[Event]:
        """Events of all ranks, with the names of tracks. Called by all of them."""
        own = [event for events in (*self._steps, self._events) for event in events]
        parts = [json.loads(part) for part in self._group.all_gather(json.dumps(own).encode())]
        return [event for part in parts for event in (*_names(part), *part)]

    def write(self, path: Path) -> None:
        """Write the events of all ranks, by rank 0. Called by all of them.

        Raises:
            OSError: the file cannot be written.
        """
        content = json.dumps({"traceEvents": self.events(), "displayTimeUnit": "ms"}).encode()
        self._group.on_first(lambda: replace_file(path, content))


def check_trace(path: Path) -> None:
    """Check the name of a trace's file before the training.

    Raises:
        ValueError: it is no .json file in a directory that exists.
    """
    if path.suffix.lower() != SUFFIX:
        raise ValueError(f"trace: expected a file name that ends in {SUFFIX}, got {path}")
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"trace: expected a file in a directory that exists, got {path}")


def hidden_share(events: Iterable[Mapping[str, Any]]) -> float:
    """Hidden share of the communication: of the time with a sum under way, the part inside the backward pass.

    For each rank, the time with a sum under way is the union of the spans of the sums of its buckets, so that two at a
    time count once; what of it lies within its backward passes is hidden behind them, and what lies after their ends is
    not. Both are summed over the ranks and their steps. A sum's end is when its rank notices it, during the backward
    pass at the next complete gradient; the end of a sum that it waits for is exact, and so is the hidden time's
    complement.

    Args:
        events: of a trace.

    Returns:
        From 0 to 1; 1 if there are no sums.

    Example:
        >>> spans = [("backward", 0, 10), ("sum of a bucket", 4, 8), ("sum of a bucket", 6, 12)]
        >>> hidden_share({"name": n, "ph": "X", "pid": 0, "ts": a, "dur": b - a} for n, a, b in spans)
        0.75
    """
    spans: dict[tuple[int, str], Intervals] = {}
    for event in events:
        if event["name"] in (BACKWARD, SUM):
            start = event["ts"]
            spans.setdefault((event["pid"], event["name"]), []).append((start, start + event["dur"]))
    whole = hidden = 0.0
    for (rank, name), intervals in spans.items():
        if name == SUM:
            under_way = _union(intervals)
            whole += sum(end - start for start, end in under_way)
            hidden += _common(under_way, _union(spans.get((rank, BACKWARD), [])))
    return hidden / whole if whole else 1.0


def _names(events: Sequence[Event]) -> list[Event]:
    """Names of a rank and its tracks."""
    rank = events[0]["pid"] if events else 0
    tracks = sorted({event["tid"] for event in events})
    names = [("process_name", 0, f"rank {rank}")] if events else []
    names += [("thread_name", track, f"sums {track}" if track else "steps") for track in tracks]
    return [{"name": kind, "ph": "M", "pid": rank, "tid": track, "args": {"name": name}} for kind, track, name in names]


def _union(intervals: Intervals) -> Intervals:
    """Union of intervals that may overlap."""
    apart: Intervals = []
    for start, end in sorted(intervals):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(apart[-1][1], end))
        else:
            apart.append((start, end))
    return apart


def _common(one: Intervals, other: Intervals) -> float:
    """Length of what two unions have in common."""
    length, mine, theirs = 0.0, 0, 0
    while mine < len(one) and theirs < len(other):
        length += max(min(one[mine][1], other[theirs][1]) - max(one[mine][0], other[theirs][0]), 0.0)
        if one[mine][1] < other[theirs][1]:
            mine += 1
        else:
            theirs += 1
    return length
