"""Progress callbacks of trainings and evaluations; by default they do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from transformer.train import Step


@dataclass(frozen=True)
class Sample:
    """Sample: a held-out example and the model's current answer, in the order of one line of text."""

    before: str  # the example
    written: str  # by the model
    after: str = ""  # the right answer, where it is shown
    reference: str | None = None  # the right answer, where one text is


Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Takes an activity and how many items it has; gives, for a ``with`` block, a function of how many more are done."""


@contextmanager
def silent(activity: str, total: int) -> Iterator[Callable[[int], None]]:
    """Silent :data:`Progress`."""
    yield lambda count: None


class Reporter(Protocol):
    """Protocol of training callbacks."""

    def say(self, text: str) -> None:
        """Show a line of text."""

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Show an activity during a ``with`` block."""

    def watch(
        self,
        steps: Iterable[Step],
        total: int,
        record: Callable[[Step], None],
        example: Callable[[], Sample] | None = None,
    ) -> None:
        """Run a training of ``total`` steps, and pass each step to ``record``."""


class SilentReporter:
    """Silent :class:`Reporter`."""

    def say(self, text: str) -> None:
        pass

    def doing(self, what: str) -> AbstractContextManager[None]:
        return nullcontext()

    def watch(
        self,
        steps: Iterable[Step],
        total: int,
        record: Callable[[Step], None],
        example: Callable[[], Sample] | None = None,
    ) -> None:
        for step in steps:
            record(step)


SILENT = SilentReporter()
