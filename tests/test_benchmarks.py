"""The benchmarks' own correctness: comparisons, counts and reports. No test asserts a time."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks import __main__ as command, decoding, load
from tests.benchmarks.agreement import disagreement
from tests.benchmarks.frameworks import minigrad_side
from tests.benchmarks.inputs import Heads, Integers, Normal, Padding, draw
from tests.benchmarks.job import OURS, Goal, Job, Limits
from tests.benchmarks.jobs import GOALS, JOBS, attention, select
from tests.benchmarks.measure import Effort, Measurement, Side, Spread, measure
from tests.benchmarks.models import gpt, language, minigrad_language, seq2seq
from tests.benchmarks.models.gpt import GPTSize
from tests.benchmarks.models.minigrad_seq2seq import model_of
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from tests.benchmarks.peers import FRAMEWORKS, Worker, WorkerError
from tests.benchmarks.report import Report, save_json, show
from tests.benchmarks.roofline import save_plot

pytestmark = pytest.mark.slow

QUICK = Effort(rounds=2, batch_seconds=0.001)
TINY = Job("tiny", "softmax", "softmax", ("torch",), {"x": Normal((3, 5))}, ("x",), flops=60, bytes=300, terms=5)
TINY_GPT = GPTSize(batch=2, context=8, layers=1, heads=2, width=8, vocabulary=11)
TINY_SEQ2SEQ = Seq2SeqSize(layers=1, heads=2, width=8, vocabulary=13, tokens=16, lengths=(4, 8))
TINY_TRANSLATOR = dataclasses.replace(TINY_SEQ2SEQ, vocabulary=300)
LIMITS = Limits(one_thread_flops=5e9, flops=1e10, copy=1e9)


def side_of(framework: str) -> Any:
    """A framework's module; the test is skipped where the framework is missing."""
    package = FRAMEWORKS[framework]
    pytest.importorskip(package, reason=f"{package} is an optional peer: pip install {package}")
    return import_module(f"tests.benchmarks.frameworks.{framework}_side")


class Scripted:
    """A worker that answers from a script, and notes in a shared list that it was asked."""

    def __init__(self, framework: str, asked: list[str], seconds: float, output: float = 1.0) -> None:
        self.framework = framework
        self.asked = asked
        self.answers: dict[str, Any] = {
            "prepare": 9.0,
            "peak_memory": 1000,
            "results": {"output": np.full(3, output, np.float32)},
            "batch": [seconds, seconds, 100 * seconds],
        }

    def ask(self, name: str, *arguments: Any) -> Any:
        self.asked.append(f"{self.framework} {name}")
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


def quiet(words: str) -> None:
    """Silent progress."""


@pytest.fixture(scope="module")
def ours() -> Iterator[Worker]:
    with Worker(OURS, threads=1) as worker:
        yield worker


# Statistics


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    assert Spread.of([9.0, 1.0, 3.0, 7.0, 5.0]) == (5.0, 3.0, 7.0)
    assert Spread.of([4.0]) == (4.0, 4.0, 4.0)


def test_a_ratio_compares_rounds_that_follow_each_other() -> None:
    # The machine was three times slower in the second round, for both.
    sides = {OURS: Side(rounds=[1.0, 3.0, 1.0]), "torch": Side(rounds=[2.0, 6.0, 2.0])}
    assert Measurement(TINY, sides).ratio("torch") == (2.0, 2.0, 2.0)


def test_group_means_are_geometric_and_stand_beside_their_goals() -> None:
    jobs = [dataclasses.replace(TINY, name=name) for name in ("a", "b")]
    measured = [
        Measurement(job, {OURS: Side(rounds=[1.0]), "torch": Side(rounds=[ratio])})
        for job, ratio in zip(jobs, (0.5, 8.0), strict=True)
    ]
    report = Report(LIMITS, 1, measured, {"tiny": Goal({"torch": 1.5}, least_ratio=0.85)})
    assert report.groups()["tiny"]["torch"] == {
        "geometric_mean": pytest.approx(2.0),
        "least": 0.5,
        "jobs": 2,
        "goal": 1.5,
        "least_goal": 0.85,
    }


def test_the_share_is_that_of_the_scarcer_limit() -> None:
    half_speed = {OURS: Side(rounds=[2.0])}
    arithmetic = dataclasses.replace(TINY, flops=1e10, bytes=1e8)
    memory = dataclasses.replace(TINY, flops=1e8, bytes=1e9)
    report = Report(LIMITS, 1, [], {})
    assert report.share(Measurement(arithmetic, half_speed)) == pytest.approx(0.5)
    assert report.share(Measurement(memory, half_speed)) == pytest.approx(0.5)


# Turns


def test_frameworks_take_turns_and_a_round_is_the_median_of_its_calls() -> None:
    asked: list[str] = []
    workers = [Scripted(OURS, asked, 0.5), Scripted("torch", asked, 1.5)]
    measurement = measure(TINY, workers, Effort(rounds=3), quiet)
    assert [words for words in asked if "batch" in words] == ["minigrad batch", "torch batch"] * 3
    assert measurement.sides[OURS].rounds == [0.5] * 3
    assert measurement.sides[OURS].first_call == 9.0
    assert measurement.ratio("torch") == (3.0, 3.0, 3.0)


def test_a_framework_with_another_result_is_not_timed() -> None:
    asked: list[str] = []
    workers = [Scripted(OURS, asked, 0.5), Scripted("torch", asked, 0.5, output=1.01)]
    measurement = measure(TINY, workers, QUICK, quiet)
    assert "torch batch" not in asked
    assert "torch disagrees: output: off by 0.01" in measurement.errors[0]
    assert measurement.ratio("torch") is None


def test_a_framework_that_fails_leaves_the_others_going() -> None:
    workers = [Scripted(OURS, [], 0.5), Scripted("torch", [], 0.5), Scripted("jax", [], 1.0)]
    workers[1].answers["batch"] = WorkerError("torch: its process was ended by SIGKILL")
    measurement = measure(TINY, workers, QUICK, quiet)
    assert measurement.errors == ["torch: its process was ended by SIGKILL"]
    assert measurement.ratio("jax") == (2.0, 2.0, 2.0)


def test_slow_jobs_are_measured_by_their_first_call() -> None:
    asked: list[str] = []
    measurement = measure(dataclasses.replace(TINY, once=True), [Scripted(OURS, asked, 0.5)], QUICK, quiet)
    assert asked == ["minigrad prepare"]
    assert measurement.sides[OURS].rounds == [9.0]


# Agreement


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ({"y": np.array([1.0, 2.001], np.float32)}, "y: off by 0.001"),
        ({"y": np.array([1.0, np.nan], np.float32)}, "y: off by nan"),
        ({"y": np.array([1.0, 2.0])}, "y: dtype float32, not float64"),
        ({"y": np.array([1.0], np.float32)}, "y: shape (2,), not (1,)"),
        ({"z": np.array([1.0, 2.0], np.float32)}, "results differ in name: y, z"),
    ],
)
def test_a_wrong_result_disagrees(theirs: dict[str, np.ndarray], words: str) -> None:
    assert words in (disagreement({"y": np.array([1.0, 2.0], np.float32)}, theirs, terms=4) or "")


def test_integers_agree_exactly_or_not_at_all() -> None:
    tokens = {"tokens": np.array([1, 2])}
    assert disagreement(tokens, {"tokens": np.array([1, 2])}, terms=1) is None
    assert disagreement(tokens, {"tokens": np.array([1, 3])}, terms=1) == "tokens: 50.0% of the integers differ"


def test_cancelling_sums_are_compared_relative_to_their_terms() -> None:
    large, noise = np.full(3, 2.0, np.float32), np.full(3, 1e-13, np.float32)
    assert disagreement({"x": large, "bias": noise}, {"x": large, "bias": -noise}, terms=4) is None
    assert disagreement({"bias": noise}, {"bias": -noise}, terms=4) is not None


def test_sums_in_another_order_agree(rng: np.random.Generator) -> None:
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((20, 300), (300, 20)))
    other = (a[:, ::-1] * np.float32(1)) @ b[::-1]
    assert disagreement({"c": a @ b}, {"c": other}, terms=300) is None


# Inputs


def test_a_peer_of_less_precision_may_choose_otherwise() -> None:
    ours = {"tokens": np.array([1, 2]), "score": np.array([-8.0], np.float32)}
    theirs = {"tokens": np.array([1, 3]), "score": np.array([-8.2], np.float32)}
    assert "tokens" in (disagreement(ours, theirs, terms=4) or "")
    assert disagreement(ours, theirs, terms=4, roundoff=2**-8) is None
    theirs["score"] += 2
    assert "score: off by" in (disagreement(ours, theirs, terms=4, roundoff=2**-8) or "")


def test_every_process_draws_the_same_numbers() -> None:
    given = {"x": Normal((2, 3)), "heads": Heads(2, 3, 4, 5), "ids": Integers((6,), 9), "mask": Padding(2, 8)}
    first, second = draw(given), draw(given)
    assert all(np.array_equal(first[name], second[name]) for name in given)
    assert first["heads"].shape == (2, 3, 4, 5)
    assert first["heads"].strides == (240, 20, 60, 4)  # a view of (2, 4, 3 · 5)
    assert first["mask"].any(-1).all()


# The table of jobs


def test_every_job_has_a_name_of_its_own_and_every_group_a_goal() -> None:
    assert len({job.full_name for job in JOBS}) == len(JOBS)
    assert {job.group for job in JOBS} == set(GOALS)


@pytest.mark.parametrize(
    "framework", [pytest.param(name, marks=pytest.mark.peers) if name != OURS else name for name in FRAMEWORKS]
)
def test_a_framework_has_the_operations_of_its_jobs(framework: str) -> None:
    side = side_of(framework)
    for job in JOBS:
        if framework == OURS or framework in job.peers:
            operation, arguments = getattr(side, job.operation), dict.fromkeys([*job.inputs, *job.options])
            if not inspect.isbuiltin(operation):  # such have no signature
                inspect.signature(operation).bind(**arguments)  # a TypeError where they do not fit


def test_jobs_are_chosen_by_group_by_name_and_by_pattern() -> None:
    assert {job.group for job in select(["softmax"])} == {"softmax"}
    assert [job.full_name for job in select(["product/nn/256x256x256"])] == ["product/nn/256x256x256"]
    assert len(select(["product/*/256x256x256", "product/nn/*"])) == 4 + 12 - 1
    assert select([]) == JOBS


def test_parameters_are_counted_right() -> None:
    assert TINY_GPT.parameters == sum(array.size for array in gpt.weights(TINY_GPT).values())
    assert TINY_SEQ2SEQ.parameters == sum(array.size for array in seq2seq.weights(TINY_SEQ2SEQ).values())


# Models


@pytest.mark.peers
@pytest.mark.parametrize(
    ("operation", "options"),
    [
        ("train_gpt", {"size": TINY_GPT}),
        ("train_seq2seq", {"size": TINY_SEQ2SEQ, "dropout": 0.0}),
        ("forward_seq2seq", {"size": TINY_SEQ2SEQ, "rows": 3}),
        ("clipped_adamw", {"size": TINY_GPT}),
        ("decode_gpt", {"size": TINY_GPT, "rows": 2, "new_tokens": 4}),
    ],
)
def test_models_are_the_same_in_pytorch(operation: str, options: dict[str, Any]) -> None:
    torch_side = side_of("torch")
    ours, theirs = (getattr(side, operation)(**options).results() for side in (minigrad_side, torch_side))
    assert disagreement(ours, theirs, terms=64) is None


@pytest.mark.peers
def test_the_gpt_is_the_same_in_jax() -> None:
    ours, theirs = (side.train_gpt(TINY_GPT).results() for side in (minigrad_side, side_of("jax")))
    assert disagreement(ours, theirs, terms=64) is None


@pytest.mark.peers
def test_the_encoder_decoder_is_the_same_in_onnxruntime() -> None:
    ours, theirs = (side.forward_seq2seq(TINY_SEQ2SEQ, 3).results() for side in (minigrad_side, side_of("onnxruntime")))
    assert disagreement(ours, theirs, terms=64) is None


@pytest.mark.peers
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("beams", [1, 4])
def test_translations_are_the_same_in_ctranslate2(rows: int, beams: int) -> None:
    theirs = side_of("ctranslate2").translate(TINY_TRANSLATOR, rows, beams, "float32").results()
    ours = minigrad_side.translate(TINY_TRANSLATOR, rows, beams, "float32").results()
    assert ours["tokens"].shape == (rows, seq2seq.NEW_TOKENS)
    assert disagreement(ours, theirs, terms=64) is None


def test_weights_bear_the_names_of_the_transformers_parameters() -> None:
    model = model_of(TINY_SEQ2SEQ, dropout=0.0)
    assert set(model.state_dict()) == set(seq2seq.weights(TINY_SEQ2SEQ))


# Workers


def test_a_worker_runs_a_job(ours: Worker) -> None:
    assert ours.ask("prepare", TINY) > 0
    assert ours.ask("peak_memory") >= 0
    results = ours.ask("results", TINY)
    x = draw(TINY.inputs)["x"]
    exponential = np.exp(x - x.max(-1, keepdims=True))
    np.testing.assert_allclose(results["output"], exponential / exponential.sum(-1, keepdims=True), rtol=1e-6)
    assert results["gradient of x"].shape == x.shape
    assert all(seconds > 0 for seconds in ours.ask("batch", 0.001))


def test_peak_memory_is_that_of_the_job(ours: Worker) -> None:
    count = 1 << 22
    job = Job("tiny", "gelu", "gelu", (), {"x": Normal((count,))})
    ours.ask("prepare", job)
    assert 4 * count <= ours.ask("peak_memory") <= 4 * 20 * count


def test_dropout_is_compared_without_it(ours: Worker) -> None:
    job = Job("tiny", "dropout", "dropout", (), {"x": Normal((50,))}, options={"p": 0.9}, checked_with={"p": 0.0})
    np.testing.assert_array_equal(ours.ask("results", job)["output"], draw(job.inputs)["x"])


def test_an_error_in_a_worker_is_one_line(ours: Worker) -> None:
    with pytest.raises(WorkerError) as caught:
        ours.ask("prepare", dataclasses.replace(TINY, operation="soft"))
    assert str(caught.value).startswith("minigrad: AttributeError: ")
    assert "\n" not in str(caught.value)


def test_a_worker_that_dies_is_reported_in_one_line() -> None:
    with Worker("numpy", threads=1) as worker:
        worker.wait_until_ready()
        worker._process.kill()
        with pytest.raises(WorkerError, match=r"^numpy: its process was ended by SIGKILL \(it said nothing\)$"):
            worker.ask("batch", 0.1)


def test_a_framework_that_cannot_be_loaded_is_reported_in_one_line() -> None:
    with Worker("nonsense", threads=1) as worker, pytest.raises(WorkerError, match="No module named"):
        worker.wait_until_ready()


def test_the_machines_limits_are_positive(ours: Worker) -> None:
    assert all(limit > 0 for limit in ours.ask("run", "measure_limits", 1))


# Results


@pytest.fixture
def report() -> Report:
    sides = {OURS: Side([1e-6, 2e-6], 0.5, 1000), "torch": Side([2e-6, 4e-6], 0.1, 2000), "numpy": Side(error="broke")}
    return Report(LIMITS, 2, [Measurement(TINY, sides)], {"tiny": Goal({"torch": 1.5})})


def test_json_says_everything(report: Report, tmp_path: Path) -> None:
    save_json(report, tmp_path / "figures.json")
    saved = json.loads((tmp_path / "figures.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert saved["machine"]["threads"] == 2
    assert saved["machine"]["versions"]["numpy"] == np.__version__
    assert saved["limits"] == {"one_thread_flops": 5e9, "flops": 1e10, "copy": 1e9}
    (job,) = saved["jobs"]
    assert job["name"] == "tiny/softmax"
    assert (job["flops"], job["bytes"]) == (60, 300)
    assert job["sides"][OURS] == {
        "seconds": pytest.approx({"median": 1.5e-6, "lower_quartile": 1.25e-6, "upper_quartile": 1.75e-6}),
        "rounds": [1e-6, 2e-6],
        "first_call": 0.5,
        "peak_memory": 1000,
        "share_of_limit": pytest.approx(0.2),
        "error": None,
    }
    assert job["sides"]["numpy"]["error"] == "broke"
    assert job["ratios"]["torch"]["median"] == pytest.approx(2.0)
    assert saved["groups"]["tiny"]["torch"]["geometric_mean"] == pytest.approx(2.0)


def test_the_table_names_jobs_ratios_and_errors(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    show(report)
    printed = capsys.readouterr().out
    assert "10 GFLOP/s (5 on one)" in printed
    assert "2.00" in printed
    assert "tiny/softmax: broke" in printed


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_roofline_is_drawn(report: Report, tmp_path: Path, suffix: str) -> None:
    save_plot(report, tmp_path / f"roofline.{suffix}")
    assert (tmp_path / f"roofline.{suffix}").stat().st_size > 1000


# The command line


def test_an_unknown_name_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["softmacks"]) == 2
    assert capsys.readouterr().err == "benchmarks: unknown benchmark 'softmacks'; --list shows all\n"


def test_an_unknown_peer_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["softmax", "--peer", "torhc"]) == 2
    assert capsys.readouterr().err == f"benchmarks: unknown peer 'torhc'; there are {', '.join(command.PEERS)}\n"


def test_a_folder_that_is_not_there_is_noticed_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["softmax", "--json", str(tmp_path / "missing" / "figures.json")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_plot_that_cannot_be_drawn_is_noticed_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["softmax", "--plot", "roofline.doc"]) == 2
    assert capsys.readouterr().err == "benchmarks: roofline.doc: expected one of .svg, .png, .pdf\n"


def test_the_list_names_the_chosen_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list", "attention"]) == 0
    assert capsys.readouterr().out.splitlines() == [job.full_name for job in attention.JOBS]


def test_the_command_measures_prints_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    arguments = ["product/nn/256x256x256", "--peer", "numpy", "--rounds", "1", "--quick", "--threads", "1"]
    assert command.main([*arguments, "--json", str(figures)]) == 0
    (job,) = json.loads(figures.read_text())["jobs"]
    assert set(job["sides"]) == {OURS, "numpy"}
    assert "product/nn/256x256x256" in capsys.readouterr().out


def test_other_processes_compute_meanwhile_and_the_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with load.background_load(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)
    show(Report(LIMITS, 2, [], {}, busy=2))
    assert "beside 2 processes that compute" in capsys.readouterr().out


def test_a_missing_peer_is_named_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed", lambda name: name == "numpy")
    monkeypatch.setattr(command, "run", lambda jobs, frameworks, *_: Report(LIMITS, 1, [], {}))
    assert command.main(["gpt-nano"]) == 0
    assert capsys.readouterr().err.splitlines()[0] == "benchmarks: torch is not installed"


def test_a_disagreement_is_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Measurement(TINY, {OURS: Side(rounds=[1.0]), "torch": Side(error="torch disagrees: output")})
    monkeypatch.setattr(command, "run", lambda *_: Report(LIMITS, 1, [failed], {}))
    assert command.main(["softmax", "--peer", "torch"]) == 1


def test_an_interrupt_keeps_what_was_measured(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Idle:
        def __enter__(self) -> Idle:
            return self

        def __exit__(self, *_: object) -> None: ...

        def ask(self, *_: Any) -> Limits:
            return LIMITS

        def for_job(self, _: Job) -> list[Any]:
            return []

    done = iter(report.measurements)

    def measured_once(*_: Any) -> Measurement:
        for measurement in done:
            return measurement
        raise KeyboardInterrupt

    for name in ("Worker", "Crew"):
        monkeypatch.setattr(command, name, lambda *_: Idle())
    monkeypatch.setattr(command, "measure", measured_once)
    assert command.main(["cross-entropy", "--peer", "torch", "--json", str(tmp_path / "figures.json")]) == 130
    printed = capsys.readouterr()
    assert "interrupted, 1 of 2 are not measured" in printed.err
    assert "tiny/softmax" in printed.out
    assert json.loads((tmp_path / "figures.json").read_text())["jobs"]


# Decoding of language models


@pytest.mark.parametrize("side", ["minigrad", "transformers"])
def test_decoding_is_measured(side: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    side_of(side)
    saved = tmp_path / "figures.json"
    short = [*("--rounds", "1"), *("--tokens", "3"), *("--prompt", "5"), *("--threads", "1"), *("--rows", "2")]
    decoding.main(["--shape", "tiny", "--format", "float32", "--side", side, *short, "--json", str(saved)])
    (figures,) = json.loads(saved.read_text())
    assert (figures["side"], figures["rows"]) == (side, 2)
    assert figures["tokens/s"] >= figures["tokens/s, median"] > 0
    assert "of memory" in capsys.readouterr().out


def test_weights_of_a_language_model_are_those_of_its_products() -> None:
    size = language.SHAPES["tiny"]
    model = minigrad_language.model_of("tiny", "float32")
    layers = sum(parameter.size for parameter in model.decoder.layers.parameters() if parameter.ndim == 2)
    assert size.weights == layers + model.output.weight.size
