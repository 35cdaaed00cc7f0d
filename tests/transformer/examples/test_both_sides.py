"""Both sides: the entropies of chains for which they are known, and texts that follow their table."""

from __future__ import annotations

import numpy as np
import pytest

from transformer.examples import both_sides


def test_independent_symbols_have_one_entropy_on_all_sides() -> None:
    assert both_sides.entropies(np.full((8, 8), 1 / 8)) == pytest.approx([np.log(8)] * 3)


def test_a_chain_that_stays_or_steps_is_certain_between_two_that_differ_by_two() -> None:
    """The next symbol is the same or the following, each with 1/2: between neighbours, only a single step is open."""
    ring = (np.eye(8) + np.roll(np.eye(8), 1, axis=1)) / 2
    assert both_sides.entropies(ring) == pytest.approx([np.log(2), np.log(2), np.log(2) / 2])


def test_left_and_right_are_worth_the_same_in_any_chain() -> None:
    left, right, both = both_sides.entropies(np.random.default_rng(0).dirichlet(np.ones(8), 8))
    assert left == pytest.approx(right)
    assert both < left


def test_texts_follow_the_transitions() -> None:
    rng = np.random.default_rng(0)
    transitions = rng.dirichlet(np.ones(8), 8)
    texts = both_sides.chain(transitions, 4000, rng)
    counts = np.zeros((8, 8))
    np.add.at(counts, (texts[:, :-1], texts[:, 1:]), 1)
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), transitions, atol=0.02)
