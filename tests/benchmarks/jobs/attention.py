"""Scaled dot-product attention, forward and backward, in every form that models use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.inputs import Heads, Input, Padding
from tests.benchmarks.job import Goal, Job

GOALS = {"attention": Goal({"torch": 1.5})}

HEADS, GROUPS, WIDTH = 8, 2, 64
TOKENS = 4096  # of a batch, whatever its length
LENGTHS = [64, 256, 1024, 4096]
# Of each kind, whether there is a mask of what is padding, and the options.
KINDS: dict[str, tuple[bool, dict[str, Any]]] = {
    "plain": (False, {}),
    "causal": (False, {"causal": True}),
    "padding": (True, {}),
    "causal-padding": (True, {"causal": True}),
    "cross": (True, {}),
    "grouped": (False, {"causal": True}),
    "dropout": (False, {"causal": True, "p": 0.1}),
}


def _jobs() -> Iterator[Job]:
    for kind, (padded, options) in KINDS.items():
        for length in LENGTHS:
            batch = TOKENS // length
            keys = length // 2 if kind == "cross" else length
            groups = GROUPS if kind == "grouped" else HEADS
            given: dict[str, Input] = {
                "query": Heads(batch, HEADS, length, WIDTH),
                "key": Heads(batch, groups, keys, WIDTH),
                "value": Heads(batch, groups, keys, WIDTH),
            }
            pairs = batch * HEADS * length * keys * (0.5 if options.get("causal") else 1.0)
            yield Job(
                "attention",
                f"{kind}/{length}",
                "attention",
                ("torch",) if "p" in options else ("torch", "jax"),
                {**given, "mask": Padding(batch, keys)} if padded else given,
                ("query", "key", "value"),
                options,
                {"p": 0.0} if "p" in options else {},
                flops=12.0 * pairs * WIDTH,  # two products forward, four backward
                # Queries, outputs and their gradients are read or written six times in all, keys and values six.
                bytes=4.0 * 6 * WIDTH * batch * (HEADS * length + groups * keys),
                terms=length * WIDTH,
                fresh=True,  # its memory shows whether the scores were written out
            )


JOBS = list(_jobs())
