"""Attention scale: scores, weights and gradients of random queries and keys, with and without the factor 1/√D.

Queries, keys and values are drawn from the standard normal distribution, as they are in a fresh model behind a layer
norm. Each query attends to 32 keys. For each width D and each scale the table has the standard deviation of the scores,
the largest of a query's weights, and the norm of the gradient that a query gets from its output: mean, median, and
the share of queries with less than a hundredth of the mean. "Attention Is All You Need", section 3.2.1.
"""

from __future__ import annotations

import argparse
import math
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from transformer.cli import console
from transformer.model.attention import ScaledDotProductAttention

WIDTHS = (4, 16, 64, 256, 1024)
KEYS = 32
LOW = 0.01  # of the mean gradient

Array = np.ndarray[Any, Any]


class Statistics(NamedTuple):
    """Statistics of many queries."""

    deviation: float  # of the scores
    largest: float  # mean over the queries of their largest weight
    gradients: Array  # (queries,): norms


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--queries", type=int, default=2000, metavar="N", help="queries of a row (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: a row for each width and scale."""
    console.out.print("                   deviation   largest   gradient of a query")
    console.out.print("     D   scale     of scores    weight     mean    median   < 1 % of the mean")
    for width in WIDTHS:
        for scale, name in ((1.0, "1"), (1 / math.sqrt(width), f"1/{math.sqrt(width):.0f}")):
            found = measure(width, scale, args.queries, args.seed)
            norms = found.gradients
            console.out.print(
                f"{width:6}   {name:5} {found.deviation:12.2f} {found.largest:9.2f} {norms.mean():8.3f} "
                f"{np.median(norms):9.4f}   {np.mean(norms < LOW * norms.mean()):17.1%}"
            )


def measure(width: int, scale: float, queries: int, seed: int) -> Statistics:
    """Measure the attention of random queries (queries, 1, 1, width), each to keys of its own."""
    if queries < 1:
        raise ValueError(f"queries: expected at least 1, got {queries}")
    generator = np.random.default_rng(seed)
    query, key, value = (
        mg.asarray(generator.standard_normal((queries, 1, length, size), np.float32))
        for length, size in ((1, width), (KEYS, width), (KEYS, 1))
    )
    attend = ScaledDotProductAttention(scale=scale)
    with mg.no_grad():
        scores = (query @ key.mT * scale).numpy()
        weights = attend.weights(query, key, None).numpy()
    query.requires_grad = True
    attend(query, key, value).sum().backward()
    norms = np.linalg.norm(query.grad.numpy().reshape(queries, width), axis=1)  # type: ignore[union-attr]
    return Statistics(float(scores.std()), float(weights.max(-1).mean()), norms)
