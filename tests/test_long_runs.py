"""Long runs and threads: memory, and independence of parallel runs."""

from __future__ import annotations

import gc
import sys
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from minigrad.optim import AdamW, clip_grad_norm_

pytestmark = pytest.mark.slow


def _train(seed: int, steps: int) -> list[float]:
    """A small model with dropout, on data drawn as it goes."""
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer = AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        x = mg.random.normal((4, 3))
        loss = F.cross_entropy(model(x), (x[:, 0] > 0).astype(mg.int64))
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_ten_thousand_training_steps_leave_memory_flat_with_the_cyclic_collector_off() -> None:
    _train(0, 20)  # compiles
    gc.collect()
    gc.disable()
    try:
        _train(0, 2000)  # fills Python's own lists of free tuples, at most 2000 of each size
        before = sys.getallocatedblocks()
        losses = _train(0, 10_000)
        after = sys.getallocatedblocks()
    finally:
        gc.enable()
    assert after - before - len(losses) < 1000  # less than one object in ten steps, besides the losses
    assert np.mean(losses[-100:]) < np.mean(losses[:100])


def test_two_threads_training_at_once_give_what_each_gives_alone() -> None:
    alone = {seed: _train(seed, 60) for seed in (1, 2)}
    together: dict[int, list[float]] = {}
    start = threading.Barrier(2)

    def run(seed: int) -> None:
        start.wait()
        together[seed] = _train(seed, 60)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_a_thread_that_seeds_nothing_draws_as_the_main_thread_did_after_its_seed() -> None:
    mg.manual_seed(5)
    here = mg.random.normal((3,)).tolist()
    drawn: list[list[float]] = []
    thread = threading.Thread(target=lambda: drawn.append(mg.random.normal((3,)).tolist()))
    thread.start()
    thread.join()
    assert drawn == [here]
