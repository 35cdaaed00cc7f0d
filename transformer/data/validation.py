"""Corpus validation: bad lines are counted, reported with the first line numbers, and skipped on request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")

MAX_CHARACTERS = 10_000
"""Longest line or paragraph, in characters; a longer one is no sentence, but a file without line ends or a blob."""

MAX_RATIO = 9
"""One side of a pair may be this many times as long as the other; the limit of Moses' `clean-corpus-n.perl`."""

FREE_CHARACTERS = 100
"""Added to that limit, since short texts vary more: "US" is "Vereinigte Staaten von Amerika"."""

_SHOWN = 5  # line numbers of each kind


class Fault(StrEnum):
    """Kinds of bad lines."""

    NOT_UTF8 = "not in UTF-8"
    NO_TAB = "without a tab"
    EMPTY = "empty"
    EMPTY_SOURCE = "with an empty source"
    EMPTY_TARGET = "with an empty target"
    TOO_LONG = f"with more than {MAX_CHARACTERS:,} characters"
    LOPSIDED = f"with one side over {MAX_RATIO} times as long as the other"


@dataclass
class _Found:
    """Count of lines of one kind, and the numbers of the first few."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, number: int) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(number)


class Faults:
    """Report of the bad lines of files, by kind; false if there are none, printed as one line.

    >>> faults = Faults()
    >>> for number in (4, 9, 12):
    ...     faults.add("pairs.tsv", number, Fault.NO_TAB)
    >>> faults.add("pairs.tsv", 7, Fault.EMPTY_TARGET)
    >>> print(faults)
    pairs.tsv: 3 lines without a tab (4, 9, 12), 1 line with an empty target (7)
    """

    def __init__(self) -> None:
        self._found: defaultdict[str, defaultdict[Fault, _Found]] = defaultdict(lambda: defaultdict(_Found))

    def add(self, file: str, number: int, fault: Fault) -> None:
        self._found[file][fault].add(number)

    def __len__(self) -> int:
        return sum(found.count for kinds in self._found.values() for found in kinds.values())

    def __str__(self) -> str:
        return "; ".join(
            f"{file}: {', '.join(_summary(fault, found) for fault, found in kinds.items())}"
            for file, kinds in self._found.items()
        )


class Corpus(list[T]):
    """Corpus: a plain list of the good lines of files, with a report of those left out."""

    def __init__(self, entries: Iterable[T] = (), faults: Faults | None = None) -> None:
        super().__init__(entries)
        self.faults = Faults() if faults is None else faults


def gather(files: Mapping[str, Iterable[tuple[int, T | Fault]]], *, skip_bad: bool) -> Corpus[T]:
    """Gather the entries of files, each with its line number.

    Raises:
        ValueError: a file has bad lines and `skip_bad` is false, or nothing is left.
    """
    faults = Faults()
    return Corpus(good_entries(files, faults, skip_bad=skip_bad), faults)


def good_entries(
    files: Mapping[str, Iterable[tuple[int, T | Fault]]], faults: Faults, *, skip_bad: bool
) -> Iterator[T]:
    """Good entries of files, one by one; the bad ones are added to ``faults``.

    Raises:
        ValueError: after the last entry, as :func:`gather` does.
    """
    empty = True
    for file, entries in files.items():
        for number, entry in entries:
            if isinstance(entry, Fault):
                faults.add(file, number, entry)
            else:
                empty = False
                yield entry
    if faults and not skip_bad:
        raise ValueError(f"{faults}; skip_bad=True (--skip-bad) leaves them out")
    if empty:
        raise ValueError(str(faults) or f"{', '.join(files)}: the file is empty; expected at least one text")


def _summary(fault: Fault, found: _Found) -> str:
    shown = ", ".join(map(str, found.first)) + (", …" if found.count > _SHOWN else "")
    return f"{found.count:,} line{'s' if found.count > 1 else ''} {fault} ({shown})"
