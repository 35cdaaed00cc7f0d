"""Order of tokens: the tasks, and that a model without positions cannot see a shuffle."""

from __future__ import annotations

import pytest

from transformer.examples import order


def test_the_targets_are_what_the_tasks_say() -> None:
    for source, target in order.pairs("sorting", 20, 4, 12, [0]):
        assert target == [*sorted(source[:-1]), order.EOS] and len(set(source)) == len(source)
    for source, target in order.pairs("reversing", 20, 4, 12, [0]):
        assert target[:-1] == source[-2::-1]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", order.SCHEMES)
def test_only_without_positions_a_shuffled_source_changes_nothing(scheme: str) -> None:
    model = order.train(scheme, "reversing", steps=2, seed=0)
    assert (order.change_when_shuffled(model, seed=0) < 1e-5) == (scheme == "none")
