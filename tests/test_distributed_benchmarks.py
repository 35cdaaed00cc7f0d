"""The benchmarks of several processes: runs, figures, and the model of their cost. No test asserts a time."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from tests.benchmarks import scaling
from tests.benchmarks.cost import FITTED, Cost, Model, Network, Run, fit, split
from tests.benchmarks.distributed import __main__ as command
from tests.benchmarks.distributed.launch import Run as Measured, Setup, Side, launch, mpiexec, summary
from tests.benchmarks.distributed.table import Report, show
from tests.benchmarks.distributed.workload import MODELS, TINY, Workload
from tests.benchmarks.job import OURS
from transformer.data.share import Share

TRUE = Cost(2e-9, 3e-11, 0.55, 4e-10, Network(2e-5, 2e9), backward=0.6, overlap=0.7, cores=2)
SMALL = Model(parameters=9_000_000, token_flops=6e7, last_bytes=8_000_000)
SIZES = (512, 1024, 2048)


@pytest.fixture
def mpi() -> None:
    try:
        mpiexec()
    except ValueError as error:
        pytest.skip(str(error))


def measured(cost: Cost = TRUE) -> list[Run]:
    return [
        Run(*setup, tokens, cost.on_this_machine(SMALL, *setup, tokens), _alone(cost, setup[0]))
        for setup in (*FITTED, (8, 1))
        for tokens in SIZES
    ]


def _alone(cost: Cost, processes: int) -> float | None:
    return cost.sums_on_this_machine(SMALL, processes) if processes > 1 else None


# Workloads


@pytest.mark.parametrize("model", MODELS)
def test_the_parts_of_all_processes_are_the_batches(model: str) -> None:
    workload = Workload(model, tokens=1024)
    whole = workload.parts(Share())
    parts = [workload.parts(Share(rank, 3)) for rank in range(3)]
    for number, batch in enumerate(whole):
        assert batch.weight == 1.0 and sum(part[number].weight for part in parts) == pytest.approx(1)
        np.testing.assert_array_equal(np.concatenate([part[number].labels for part in parts]), batch.labels)
        for place, array in enumerate(batch.inputs):
            np.testing.assert_array_equal(np.concatenate([part[number].inputs[place] for part in parts]), array)


# Runs


def test_several_processes_have_the_losses_of_one(mpi: None) -> None:
    workload = Workload(TINY, steps=4, warm_up=0)
    one, two = (launch(OURS, Setup(processes, 1), workload) for processes in (1, 2))
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-5)
    assert len(set(one.losses)) == 4 and one.hidden is None
    assert two.bytes_sent == two.bytes == 4 * workload.size.parameters  # 2 (N - 1) / N of them
    assert two.hidden is not None and 0 <= two.hidden <= 1
    assert two.last_bytes == two.bytes  # all in one bucket


def test_the_peer_has_our_losses_without_dropout(mpi: None) -> None:
    pytest.importorskip("torch", reason="PyTorch is an optional peer: pip install torch")
    assert command._disagreement([OURS, "torch"], Setup(2, 1), Workload(TINY)) is None


def test_the_command_shows_and_saves_its_figures(mpi: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.json"
    arguments = ["--model", TINY, "--rounds", "1", "--steps", "2", "--curve", "2", "--no-peer", "--json", str(path)]
    assert command.main([*arguments, "--setups", "1x1", "2x1"]) == 0
    assert "2 × 1" in capsys.readouterr().out
    saved = json.loads(path.read_text())
    assert [(side["processes"], side["threads"]) for side in saved["sides"]] == [(1, 1), (2, 1)]
    assert saved["curves"].keys() == {"1 × 1", "2 × 1"}


def test_a_failed_process_is_named(mpi: None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(command, "OURS", "missing")
    assert command.main(["--model", TINY, "--rounds", "1", "--setups", "2x1", "--no-peer"]) == 1
    assert "missing 2 × 1: status" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--setups", "0x1"], ["--tokens", "448"], ["--rounds", "0"], ["--json", "missing/runs.json"]]
)
def test_bad_arguments_are_noticed_before_the_runs(mpi: None, words: list[str], capsys: Any) -> None:
    assert command.main(words) == 2
    assert capsys.readouterr().err.startswith("benchmarks: ")


# Figures


def test_a_run_waits_as_long_as_the_process_that_came_last() -> None:
    events = [
        {"name": "backward", "ph": "X", "pid": 0, "ts": 0.0, "dur": 1e6},
        {"name": "sum of a bucket", "ph": "X", "pid": 0, "ts": 0.25e6, "dur": 1e6, "args": {"bucket": 1}},
    ]
    common = {"bytes": 8, "last_bytes": 4, "bytes_sent": 8.0, "losses": [1.0], "alone": [2.0], "seconds": [2.0]}
    run = summary(
        [
            {**common, "waits": [5.0], "peak_memory": 3, "events": events},
            {**common, "waits": [0.5], "peak_memory": 4, "events": []},
        ]
    )
    assert (run.losses, run.peak_memory, run.exposed, run.hidden_by_waits) == ([2.0], 4, 0.5, 0.75)
    assert (run.hidden, run.backward, run.overlap) == pytest.approx((0.75, 0.5, 0.75))


def test_ratios_are_of_the_same_rounds() -> None:
    setups = Setup(1, 2), Setup(2, 1)
    sides = [
        Side(name, setup, Workload(TINY), [Measured(seconds * load, [1.0], 5) for load in (1, 3)])
        for setup, times in zip(setups, ((2.0, 3.0), (1.0, 4.0)), strict=True)
        for name, seconds in zip((OURS, "torch"), times, strict=True)
    ]
    report = Report(sides, {setups[0]: [1.0, 2.0], setups[1]: [1.0, 2.5]})
    assert report.ratio(sides[2]) == (4.0, 4.0, 4.0)
    assert Report(sides[::2], {}).ratio(sides[2]) is None
    assert report.speed_up(sides[2]).median == 2.0 and report.speed_up(sides[3]).median == 0.75
    assert (report.difference(setups[0]), report.difference(setups[1])) == (0.0, 0.5)
    out = io.StringIO()
    show(report, Console(file=out, width=200))
    assert "4.00" in out.getvalue() and "5.0e-01" in out.getvalue()


# Cost


def test_a_fit_predicts_runs_that_it_was_not_fitted_on() -> None:
    fitted, checked = split(measured())
    assert {run.tokens for run in fitted} == {512, 2048} and {run.processes for run in checked} == {1, 2, 4, 8}
    cost = fit(SMALL, fitted, TRUE.backward, TRUE.overlap, TRUE.cores)
    for run in checked:
        assert cost.on_this_machine(SMALL, run.processes, run.threads, run.tokens) == pytest.approx(
            run.seconds, rel=0.05
        )


def test_too_few_runs_are_refused() -> None:
    for runs in ([run for run in measured() if run.tokens > 512], [run for run in measured() if run.processes != 4]):
        with pytest.raises(ValueError, match=r"^runs: expected at least three sizes"):
            split(runs)


@given(st.integers(1, 300), st.sampled_from(list(scaling.NETWORKS.values())), st.sampled_from([1.0, 8.0]))
def test_more_nodes_are_less_efficient_and_a_better_network_more(nodes: int, network: Network, speed: float) -> None:
    case = scaling.CASES["base translator"]
    efficiency = TRUE.efficiency(case.model, case.tokens, nodes, network, speed)
    assert 0 < TRUE.efficiency(case.model, case.tokens, nodes + 1, network, speed) <= efficiency <= 1 + 1e-12
    for better in (replace(network, latency=network.latency / 2), replace(network, bandwidth=network.bandwidth * 2)):
        assert efficiency <= TRUE.efficiency(case.model, case.tokens, nodes, better, speed) + 1e-12


def test_the_last_bucket_is_exposed_even_if_all_others_are_hidden() -> None:
    network = Network(0.0, 1e9)
    endless = TRUE.step(SMALL, 1e9, 2, network) - TRUE.compute(SMALL, 1e9 / 2)
    assert endless == pytest.approx(TRUE.copy * SMALL.bytes + SMALL.last_bytes / 1e9, rel=1e-3)


def test_the_simulation_is_shown_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[draw]'")
    sides = [
        {
            "framework": OURS,
            "processes": run.processes,
            "threads": run.threads,
            "tokens": run.tokens,
            "workload": {"tokens": run.tokens},
            "runs": [{"seconds": run.seconds, "alone": run.alone, "backward": 0.6, "overlap": 0.7}],
        }
        for run in measured()
    ]
    path, picture = tmp_path / "runs.json", tmp_path / "scaling.svg"
    path.write_text(json.dumps({"machine": {"cores": 2}, "sides": sides}))
    assert scaling.main(["--runs", str(path), "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "Simulated" in printed and all(name in printed for name in (*scaling.CASES, *scaling.NETWORKS))
    assert "<svg" in picture.read_text()
