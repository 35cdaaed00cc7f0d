"""Console output: progress and results in a terminal, in a notebook, and in a pipe."""

from __future__ import annotations

import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from transformer.tasks import Sample
from transformer.train import Step

# Results go to standard output, progress and errors to standard error.
PIPE_WIDTH = 120  # columns of a table that goes to a file


class Results(Console):
    """Console whose reader may close the pipe early, which is no failure."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        self.print()  # a quiet console drops its buffer, which the next print would otherwise write
        self.quiet = False
        raise BrokenPipeError


out = Results(
    highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout and sys.stdout.isatty() else PIPE_WIDTH
)
err = Console(stderr=True, highlight=False, markup=False)


def prepare_output() -> None:
    """Set up both output streams: replace closed ones and characters that they cannot encode."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # to the end of the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def be_silent() -> None:
    """Print nothing but errors: another process speaks."""
    out.quiet = err.quiet = True


def discard_output() -> None:
    """Discard pending output: the reader has closed the pipe, or the disk is full."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


Example = Callable[[], Sample] | None  # shown during training

PIPE_SECONDS = 10.0  # between the lines of progress in a pipe
CELL_SECONDS = 0.5  # between the updates of progress in a notebook
SMOOTHING = 0.98  # of the loss and speed shown: an average over the last fifty steps or so


class _Average:
    """Exponential moving average with bias correction."""

    def __init__(self) -> None:
        self._total = 0.0
        self._weight = 0.0

    def add(self, value: float) -> None:
        self._total = SMOOTHING * self._total + (1 - SMOOTHING) * value
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)

    @property
    def value(self) -> float:
        return self._total / self._weight if self._weight else 0.0


@dataclass(frozen=True)
class _Figures:
    """Metrics of a step to display."""

    number: int
    total: int
    loss: float  # smoothed, as is the speed
    held_out_loss: float | None  # of the last evaluation
    lr: float
    speed: float | None  # tokens/s
    seconds_left: float | None  # not known after one step, nor is the speed

    def parts(self) -> list[str]:
        held_out = [] if self.held_out_loss is None else [f"held out {self.held_out_loss:.3f}"]
        speed = [] if self.speed is None else [f"{self.speed:,.0f} tokens/s"]
        left = [] if self.seconds_left is None else [f"{timedelta(seconds=round(self.seconds_left))} left"]
        return [f"loss {self.loss:.3f}", *held_out, f"lr {self.lr:.2g}", *speed, *left]


def watch(
    steps: Iterable[Step],
    total: int,
    record: Callable[[Step], None],
    example: Example = None,
    every: int = 100,
) -> None:
    """Run a training and show its progress: step, losses, learning rate, tokens/s, time left.

    A terminal and a notebook get a panel that changes in place, anything else a line now and then.

    Args:
        steps: a trainer, also one that goes on from a checkpoint.
        total: the total number of steps.
        record: called with each step.
        example: text below the metrics: the current translation of a sentence.
        every: steps between updates of the example in a live display.
    """
    loss, seconds, tokens = _Average(), _Average(), _Average()
    held_out: float | None = None
    start = math.nan  # after the first step, which compiles or loads the kernels
    display = _live if err.is_terminal else _cell if err.is_jupyter else _lines
    with display(total, every, example) as show:
        for made, step in enumerate(steps, 1):
            record(step)
            loss.add(step.loss)
            held_out = held_out if step.held_out_loss is None else step.held_out_loss
            speed = left = None
            if made == 1:
                start = time.perf_counter()
            else:
                seconds.add(step.seconds)
                tokens.add(step.tokens)
                speed = tokens.value / seconds.value
                left = (time.perf_counter() - start) / (made - 1) * (total - step.number)
            show(_Figures(step.number, total, loss.value, held_out, step.lr, speed, left))


Display = Iterator[Callable[[_Figures], None]]


@contextmanager
def _live(total: int, every: int, example: Example) -> Display:
    """Live panel, redrawn as the metrics change."""
    progress = Progress(TextColumn("[bold]training"), BarColumn(bar_width=24), MofNCompleteColumn(), console=err)
    task = progress.add_task("", total=total)
    sample: tuple[Text, ...] = ()
    with Live(progress, console=err, refresh_per_second=4) as live:

        def show(figures: _Figures) -> None:
            nonlocal sample
            progress.update(task, completed=figures.number)
            if example is not None and (figures.number % every == 0 or figures.number == total):
                sample = (sample_text(example()),)
            live.update(Group(progress, Text("  ".join(figures.parts())), *sample))

        yield show


@contextmanager
def _cell(total: int, every: int, example: Example) -> Display:
    """Text in the output of a notebook's cell, replaced as the metrics change; needs no widgets, and stays."""
    handle = import_module("IPython.display").display({"text/plain": "training"}, raw=True, display_id=True)
    shown = -math.inf
    sample: tuple[str, ...] = ()
    latest: _Figures | None = None

    def update(figures: _Figures) -> None:
        text = "\n".join([f"step {figures.number}/{total}  " + "  ".join(figures.parts()), *sample])
        handle.update({"text/plain": text}, raw=True)

    def show(figures: _Figures) -> None:
        nonlocal shown, sample, latest
        latest = figures
        if example is not None and (figures.number % every == 0 or figures.number == total):
            sample = (sample_text(example()).plain,)
        if time.perf_counter() - shown >= CELL_SECONDS:
            update(figures)
            shown, latest = time.perf_counter(), None

    try:
        yield show
    finally:  # also where it was interrupted
        if latest is not None:
            update(latest)


@contextmanager
def _lines(total: int, every: int, example: Example) -> Display:
    """Progress lines: the first step, one every few seconds, and the last step."""
    printed = -math.inf
    waiting: _Figures | None = None

    def write(figures: _Figures) -> None:
        sample = f"\n  {sample_text(example()).plain}" if example is not None and figures.number > 1 else ""
        say("  ".join([f"step {figures.number}/{total}", *figures.parts()]) + sample)

    def show(figures: _Figures) -> None:
        nonlocal printed, waiting
        waiting = figures
        if time.perf_counter() - printed >= PIPE_SECONDS:
            write(figures)
            printed, waiting = time.perf_counter(), None

    yield show
    if waiting is not None:
        write(waiting)


def say(text: str) -> None:
    """Print a line on standard error, without wrapping."""
    err.print(text, soft_wrap=True)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Show an activity: a spinner in a terminal, a line in a pipe."""
    if err.is_terminal:
        with err.status(Text(what)):  # brackets in a path are no markup
            yield
    else:
        say(what)
        yield


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Progress bar in a terminal; silent in a pipe.

    Yields:
        A function that advances the bar by a count.
    """
    columns = (TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TaskProgressColumn(), console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def sample_text(sample: Sample) -> Text:
    """Sample line: a held-out example and the model's answer, green if it equals the reference."""
    ink = "green" if sample.written == sample.reference else "yellow"
    written = sample.written if sample.reference is None else clipped(sample.written, sample.reference)
    return Text.assemble(("held out  ", "bold"), sample.before, (written, ink), sample.after)


def clipped(translation: str, reference: str) -> str:
    """Truncate a long translation of an untrained model."""
    limit = 2 * len(reference) + 20
    return translation if len(translation) <= limit else translation[:limit] + "…"


def translations_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Table of sources, references and translations, with a mark at exact matches."""
    table = Table(show_edge=False, pad_edge=False)
    for column in ("source", "reference", "translation", ""):
        table.add_column(column, overflow="fold")
    for source, reference, translation in rows:
        exact = translation == reference
        translation = clipped(translation, reference)
        table.add_row(
            Text(source),
            Text(reference),
            Text(translation, style="green" if exact else "red"),
            Text("✓" if exact else "✗", style="green" if exact else "red"),
        )
    return table
