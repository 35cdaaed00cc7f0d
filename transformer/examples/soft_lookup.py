"""Soft lookup: attention as a dictionary that also answers for keys that it does not have, and learns which are alike.

A table has 32 entries. A key is 4 random angles, as 8 features: cosine and sine of each. Its value is √2 sin 2θ of the
first angle θ, with noise of deviation 0.5; the other three mean nothing. The table is asked for a new key: the answers
are the mean of all values, the value of the nearest key, and that of attention, where the new key is the query; all
three again where they are told to compare the first angle only; and the answer of attention that learns on other tables
what to compare, by a matrix for queries and one for keys. `error` is the root mean square over new tables.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from transformer.cli import console
from transformer.model.attention import ScaledDotProductAttention

ENTRIES, ANGLES, NOISE = 32, 4, 0.5
FEATURES = 2 * ANGLES
BATCH, TESTS = 64, 2000
SCALES = (1, 4, 16, 64)
NEAREST = 1e6  # a scale so large that the softmax chooses one key

Array = np.ndarray[Any, Any]


class Tables(NamedTuple):
    """Tables (B, …), each with a question and its answer."""

    query: Tensor  # (B, 1, 1, FEATURES)
    key: Tensor  # (B, 1, ENTRIES, FEATURES)
    value: Tensor  # (B, 1, ENTRIES, 1)
    answer: Tensor  # (B, 1, 1, 1), without noise


class LearnedLookup(nn.Module):
    """Attention with a projection of queries and one of keys, at first the identity."""

    def __init__(self) -> None:
        self.query = nn.Linear(FEATURES, FEATURES, bias=False)
        self.key = nn.Linear(FEATURES, FEATURES, bias=False)
        self.attend = ScaledDotProductAttention()
        for projection in (self.query, self.key):
            projection.weight.data[...] = np.eye(FEATURES)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self.attend(self.query(query), self.key(key), value)

    def comparison(self) -> Array:
        """Matrix of the scores, scale included: (FEATURES, FEATURES)."""
        found: Array = self.query.weight.data.T @ self.key.weight.data / FEATURES**0.5
        return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: a row for each way to answer, and the learned comparison."""
    new = draw(TESTS, np.random.default_rng([args.seed, 1]))
    told = new._replace(query=new.query[..., :2], key=new.key[..., :2])
    console.out.print("compared     answer                  error   largest weight")
    _print("nothing", "mean of all values", ScaledDotProductAttention(scale=0.0), new)
    for compared, tables in (("all angles", new), ("first angle", told)):
        for scale in SCALES:
            _print(compared, f"attention, scale {scale:4}", ScaledDotProductAttention(scale=scale), tables)
        _print(compared, "nearest key", ScaledDotProductAttention(scale=NEAREST), tables)
    model = train(args.steps, args.seed)
    _print("learned", "attention", model.attend, Tables(model.query(new.query), model.key(new.key), *new[2:]))
    console.out.print("\nlearned comparison, the features cos and sin of each angle:")
    for row in model.comparison():
        console.out.print("".join(f"{number + 0.0:7.1f}" for number in row.round(1)))


def _print(compared: str, answer: str, attend: ScaledDotProductAttention, tables: Tables) -> None:
    with mg.no_grad():
        error = ((attend(*tables[:3]) - tables.answer) ** 2).mean().item() ** 0.5
        largest = attend.weights(tables.query, tables.key, None).max(axis=-1).mean().item()
    console.out.print(f"{compared:12} {answer:22} {error:6.3f} {largest:16.2f}")


def draw(count: int, rng: np.random.Generator) -> Tables:
    """Draw tables and questions."""
    angles = rng.uniform(0, 2 * np.pi, (count, 1, ENTRIES + 1, ANGLES)).astype(np.float32)
    keys = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(count, 1, ENTRIES + 1, FEATURES)
    values = np.sqrt(2, dtype=np.float32) * np.sin(2 * angles[..., :1])
    noise = NOISE * rng.standard_normal(values.shape, np.float32)
    parts = keys[:, :, -1:], keys[:, :, :-1], (values + noise)[:, :, :-1], values[:, :, -1:]
    return Tables(*map(mg.asarray, parts))


def train(steps: int, seed: int) -> LearnedLookup:
    """Train the projections: each step on new tables."""
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    model = LearnedLookup()
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    rng = np.random.default_rng([seed, 0])
    for _ in range(steps):
        tables = draw(BATCH, rng)
        optimizer.zero_grad()
        ((model(*tables[:3]) - tables.answer) ** 2).mean().backward()
        optimizer.step()
    return model
