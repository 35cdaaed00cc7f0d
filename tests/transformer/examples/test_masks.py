"""Masks: which faults change earlier logits, and which only the loss tells."""

from __future__ import annotations

import numpy as np
import pytest

from transformer.examples import masks

SHOWS = {"none", "j ≤ i + 1", "scores × 0", "weights × 0"}  # in the influence


@pytest.mark.parametrize("name", masks.VARIANTS)
def test_a_later_token_has_an_influence_only_through_a_faulty_mask(name: str) -> None:
    weigh, shift = masks.VARIANTS[name]
    influence = masks.influence(masks.train(weigh, shift, steps=3, seed=0), seed=0)
    assert (influence > 0) == (name in SHOWS)


def test_labels_are_the_tokens_that_many_positions_later() -> None:
    (following,), (same,) = (list(masks.RandomTokens(1, shift, seed=0).epoch(0)) for shift in (1, 0))
    assert np.array_equal(following.labels[:, :-1], following.inputs[0][:, 1:])
    assert np.array_equal(same.labels, same.inputs[0])
