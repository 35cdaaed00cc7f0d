"""Traces of trainings: the file, its bounds, and the share of the communication that is hidden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from minigrad.distributed import ALONE, PassTimes, SumTimes
from tests.transformer.train.training import bigrams, config, data
from transformer.train import Trace, Trainer, hidden_share
from transformer.train.trace import BACKWARD, STEPS, SUM, WAITING

PARTS = {"data", "forward and backward", BACKWARD, "sum of losses", "clipping", "update", "evaluation"}


def event(name: str, start: float, end: float, rank: int = 0) -> dict[str, Any]:
    return {"name": name, "ph": "X", "ts": start, "dur": end - start, "pid": rank, "tid": 0, "args": {}}


def spans(path: Path) -> list[dict[str, Any]]:
    events = json.loads(path.read_text())["traceEvents"]
    assert {one["ph"] for one in events} == {"X", "M"}
    return [one for one in events if one["ph"] == "X"]


def test_a_trace_has_the_parts_of_each_step(tmp_path: Path) -> None:
    path, directory = tmp_path / "trace.json", tmp_path / "model"
    settings = config(6, evaluate_every=2, checkpoint_every=3)
    list(Trainer(bigrams(), data(), settings, held_out=data(4, 1), directory=directory, trace=path))
    found = spans(path)
    steps = [one for one in found if one["name"].startswith("step ")]
    assert [one["name"] for one in steps] == [f"step {number}" for number in range(1, 7)]
    for number, step in enumerate(steps, 1):
        start, end = step["ts"], step["ts"] + step["dur"]
        inside = {one["name"] for one in found if start <= one["ts"] and one["ts"] + one["dur"] <= end}
        assert inside == {step["name"]} | PARTS - ({"evaluation"} if number % 2 else set())
    assert any(one["name"] == "checkpoint copy" for one in found)


def test_a_trace_keeps_the_last_steps(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    list(Trainer(bigrams(), data(), config(STEPS + 5), trace=path))
    steps = [one["name"] for one in spans(path) if one["name"].startswith("step ")]
    assert steps == [f"step {number}" for number in range(6, STEPS + 6)]


def test_a_stopped_training_has_its_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    steps = iter(Trainer(bigrams(), data(), config(9), trace=path))
    next(steps), next(steps)
    steps.close()
    assert [one["name"] for one in spans(path) if one["name"].startswith("step ")] == ["step 1", "step 2"]


@pytest.mark.parametrize("name", ["trace.txt", "missing/trace.json", "directory.json"])
def test_a_wrong_file_is_noticed_before_the_training(tmp_path: Path, name: str) -> None:
    (tmp_path / "directory.json").mkdir()
    with pytest.raises(ValueError, match=r"^trace: expected .*" + name.replace(".", r"\.")):
        Trainer(bigrams(), data(), config(1), trace=tmp_path / name)


def test_sums_that_overlap_have_tracks_of_their_own() -> None:
    trace = Trace(ALONE)
    trace.add_sums(PassTimes(0.0, 6.0, 9.0, [SumTimes(1, 4, 8), SumTimes(2, 5, 16), SumTimes(4, 9, 24)]))
    found = trace.events()
    assert [(one["tid"], one["args"]) for one in found if one["name"] == SUM] == [
        (1, {"bucket": 1, "bytes": 8}),
        (2, {"bucket": 2, "bytes": 16}),
        (1, {"bucket": 3, "bytes": 24}),
    ]
    (backward,) = (one for one in found if one["name"] == BACKWARD)
    (waiting,) = (one for one in found if one["name"] == WAITING)
    assert (backward["dur"], waiting["dur"]) == pytest.approx((6e6, 3e6))
    assert hidden_share(found) == pytest.approx(5 / 8)
    names = {(one["name"], one["tid"]): one["args"]["name"] for one in found if one["ph"] == "M"}
    assert names == {
        ("process_name", 0): "rank 0",
        ("thread_name", 0): "steps",
        ("thread_name", 1): "sums 1",
        ("thread_name", 2): "sums 2",
    }


def test_hidden_is_what_lies_inside_the_backward_pass_of_the_same_rank() -> None:
    timeline = [
        event(BACKWARD, 0, 10),
        event(SUM, 2, 6),
        event(SUM, 4, 8),  # overlaps the first: both are 6 long, all of it inside
        event(SUM, 9, 13),  # of 4, 1 inside
        event(WAITING, 10, 13),
        event(BACKWARD, 20, 30),
        event(SUM, 32, 34),  # of 2, none inside
        event(BACKWARD, 0, 40, rank=1),
        event(SUM, 5, 13, rank=1),  # of 8, all inside
    ]
    assert hidden_share(timeline) == pytest.approx((6 + 1 + 0 + 8) / (6 + 4 + 2 + 8))
    assert hidden_share(timeline[:1]) == 1.0


@given(st.lists(st.tuples(st.sampled_from([BACKWARD, SUM]), st.integers(0, 30), st.integers(0, 9)), max_size=9))
def test_the_hidden_share_is_a_count_of_instants(drawn: list[tuple[str, int, int]]) -> None:
    def instants(kind: str) -> set[int]:
        return {at for name, start, length in drawn if name == kind for at in range(start, start + length)}

    under_way = instants(SUM)
    expected = len(under_way & instants(BACKWARD)) / len(under_way) if under_way else 1.0
    timeline = [event(name, start, start + length) for name, start, length in drawn]
    assert hidden_share(timeline) == pytest.approx(expected)
