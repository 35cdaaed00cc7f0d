"""Progress in terminals, notebooks and pipes."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from transformer.cli import console
from transformer.tasks import Sample
from transformer.train import Step


def _steps(first: int, last: int, held_out_at: int = 0) -> Iterator[Step]:
    for number in range(first, last + 1):
        yield Step(number, 2.0, 100, 0.5, 1e-3, 1.0, held_out_loss=1.25 if number == held_out_at else None)


def test_a_pipe_gets_a_line_for_the_first_step_and_one_for_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    recorded: list[Step] = []
    console.watch(_steps(1, 50, held_out_at=30), 50, recorded.append, lambda: Sample("", "so far"))
    assert [step.number for step in recorded] == list(range(1, 51))
    first, last, example = capsys.readouterr().err.splitlines()
    assert first == "step 1/50  loss 2.000  lr 0.001"  # its time, with the compiling of kernels, says nothing
    assert last.startswith("step 50/50  loss 2.000  held out 1.250  lr 0.001  200 tokens/s  0:00:00 left")
    assert example == "  held out  so far"


def test_time_that_passes_brings_more_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def ticking() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(console.time, "perf_counter", ticking)
    console.watch(_steps(1, 50), 50, lambda step: None)
    assert 3 <= len(capsys.readouterr().err.splitlines()) <= 25


def test_a_resumed_training_counts_only_its_own_steps_for_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, *[60.0] * 99])
    monkeypatch.setattr(console.time, "perf_counter", lambda: next(times))
    console.watch(_steps(90, 91), 100, lambda step: None)
    assert "0:09:00 left" in capsys.readouterr().err


def test_a_training_that_stops_early_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    console.watch(_steps(1, 20), 50, lambda step: None)
    assert capsys.readouterr().err.splitlines()[-1].startswith("step 20/50")


def test_an_error_asks_for_no_example(capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> Iterator[Step]:
        yield from _steps(1, 3)
        raise ValueError("diverged")

    def example() -> Sample:
        raise AssertionError("asked after the error")

    with pytest.raises(ValueError, match="diverged"):
        console.watch(failing(), 50, lambda step: None, example)


def test_a_terminal_gets_a_panel_that_ends_with_the_last_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=True, width=80))
    console.watch(_steps(1, 20, held_out_at=10), 20, lambda step: None, lambda: Sample("", "so far"), every=5)
    end = screen.getvalue()
    for part in ("20/20", "loss 2.000  held out 1.250  lr 0.001  200 tokens/s", "so far"):
        assert part in end


def test_brackets_in_a_path_are_no_markup_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=True, width=80))
    with console.doing("reading pairs[de].tsv [/b]"):
        pass
    assert "reading pairs[de].tsv [/b]" in screen.getvalue()
