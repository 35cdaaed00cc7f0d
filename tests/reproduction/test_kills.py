"""The kill campaign, and the long run, in small."""

from __future__ import annotations

import pytest

from tests.mpi import needs_mpi, needs_proc
from tests.reproduction.kills import campaign
from tests.reproduction.long_run import Sample, is_flat

pytestmark = pytest.mark.slow


@needs_mpi
@needs_proc
def test_trainings_killed_at_random_instants_lose_nothing() -> None:
    tally = campaign(3, seed=1)
    assert tally.kills.total() >= 3 and tally.losses == []


@pytest.mark.parametrize(("leak", "flat"), [(0, True), (20_000, False)])
def test_a_leak_of_bytes_a_step_is_found(leak: int, flat: bool) -> None:
    samples = [Sample(step, (100 << 20) + step * leak, 30 + step % 2) for step in range(0, 1000, 10)]
    assert is_flat(samples, 1000) is flat
