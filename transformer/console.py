"""What a training looks like in a terminal, and in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from transformer.train import Step

# Results go to standard output, progress and errors to standard error.
PIPE_WIDTH = 120  # columns of a table that goes to a file
out = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, markup=False)

Example = Callable[[], Text] | None  # what to show of a model as it learns

PIPE_SECONDS = 10.0  # between the lines of a progress that nobody watches live
SMOOTHING = 0.98  # of the loss and speed shown: an average over the last fifty steps or so


class _Average:
    """An exponential moving average, corrected for its start."""

    def __init__(self) -> None:
        self._total = 0.0
        self._weight = 0.0

    def add(self, value: float) -> None:
        self._total = SMOOTHING * self._total + (1 - SMOOTHING) * value
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)

    @property
    def value(self) -> float:
        return self._total / self._weight if self._weight else 0.0


def watch(
    steps: Iterable[Step],
    total: int,
    record: Callable[[Step], None],
    example: Example = None,
    every: int = 100,
) -> None:
    """Run a training to its end and show how it goes: step, loss, tokens/s, time left.

    Args:
        steps: a trainer.
        total: how many steps it will make.
        record: told each step as it is made.
        example: what to show below the figures: a sentence as it is translated by now.
        every: how many steps a live display waits before it asks for the example again.
    """
    loss, seconds, tokens = _Average(), _Average(), _Average()
    with _display(total, every) as show:
        for step in steps:
            record(step)
            loss.add(step.loss)
            if step.number > 1:  # the first step compiles or loads the kernels
                seconds.add(step.seconds)
                tokens.add(step.tokens)
            speed = tokens.value / seconds.value if seconds.value else 0.0
            show(step.number, loss.value, speed, example)


@contextmanager
def _display(total: int, every: int) -> Iterator[Callable[[int, float, float, Example], None]]:
    """How to show one step: a live panel in a terminal, now and then a line elsewhere."""
    if err.is_terminal:
        progress = Progress(
            TextColumn("[bold]training"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("loss [bold]{task.fields[loss]}"),
            TextColumn("{task.fields[speed]:,.0f} tokens/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=err,
        )
        task = progress.add_task("", total=total, loss="–", speed=0.0)
        with Live(progress, console=err, refresh_per_second=4) as live:

            def show_live(number: int, loss: float, speed: float, example: Example) -> None:
                progress.update(task, completed=number, loss=f"{loss:.3f}", speed=speed)
                if example is not None and (number % every == 0 or number == total):
                    live.update(Group(progress, example()))

            yield show_live
        return

    start = printed = time.perf_counter()

    def show_line(number: int, loss: float, speed: float, example: Example) -> None:
        nonlocal printed
        now = time.perf_counter()
        if number in (1, total) or now - printed >= PIPE_SECONDS:
            printed = now
            left = (now - start) / number * (total - number)
            line = f"step {number}/{total}  loss {loss:.3f}  {speed:,.0f} tokens/s  {left:.0f} s left"
            said = f"\n  {example().plain}" if example is not None and number > 1 else ""
            print(line + said, file=sys.stderr, flush=True)

    yield show_line


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar for work that is counted; a silent one where nobody watches.

    Yields:
        A function to be told how many more are done.
    """
    columns = (TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TaskProgressColumn(), console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def clipped(translation: str, reference: str) -> str:
    """A translation, cut where an untrained model goes on and on."""
    room = 2 * len(reference) + 20
    return translation if len(translation) <= room else translation[:room] + "…"


def translations_table(rows: Sequence[tuple[str, str, str]]) -> Table:
    """Sources, references and translations side by side, with a mark at those that are exact."""
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
