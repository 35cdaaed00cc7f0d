"""Callbacks by which a training and an evaluation tell how far they are; by default nobody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from transformer.train import Step


@dataclass(frozen=True)
class Sample:
    """A held-out example and the model's present answer, in the order in which they read as one line."""

    before: str  # the example
    written: str  # by the model
    after: str = ""  # the right answer, where it is shown
    reference: str | None = None  # the right answer, where one text is


Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Takes an activity and how many items it has; gives, for a ``with`` block, a function of how many more are done."""


@contextmanager
def silent(activity: str, total: int) -> Iterator[Callable[[int], None]]:
    """A :data:`Progress` that nobody sees."""
    yield lambda count: None


class Reporter(Protocol):
    """A training's way to tell of itself."""

    def say(self, text: str) -> None:
        """Take a line of text."""

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Take note of an activity, for the length of a ``with`` block."""

    def watch(
        self,
        steps: Iterable[Step],
        total: int,
        record: Callable[[Step], None],
        example: Callable[[], Sample] | None = None,
    ) -> None:
        """Run a training of ``total`` steps to its end, and give each step to ``record``."""


class SilentReporter:
    """A :class:`Reporter` that nobody hears."""

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
