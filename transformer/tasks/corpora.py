"""Named corpora: those that need no file, and those that are fetched; and corpora of files, in memory or spooled."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from transformer.data import cldr, debian
from transformer.data.docstrings import docstrings
from transformer.data.parallel import Pair, Places, read_pairs, split_places, spool_pairs
from transformer.data.python_reference import language_reference
from transformer.data.records import Pairs, Stored, Texts, select
from transformer.data.spool import spooled
from transformer.data.text_files import Blocks, read_passages, read_texts, spool_passages, spool_texts
from transformer.data.validation import Corpus

T = TypeVar("T")

PHRASES = 40_000  # that are generated unless another number is asked for
# Those of each task; the languages are examples.
NAMES = {
    "translate": "cldr:en-de, debian:fr",
    "summarize": "docstrings, debian",
    "fill": "topics",
    "generate": "topics",
}


def files_among(data: Sequence[str]) -> list[str]:
    """File names among the data names: those that are not corpora."""
    return [name for name in data if not re.fullmatch(r"docstrings|topics|debian(:\w+)?|cldr:[\w-]+(:\d+)?", name)]


def translation_pairs(
    data: Sequence[str], *, reverse: bool, skip_bad: bool, spool: Path | None = None
) -> Corpus[Pair] | Pairs[str]:
    """Sentence pairs: ``debian:fr``, a TSV, or two files with a sentence a line."""
    if len(data) == 1 and data[0].startswith("debian:"):
        pairs = debian.translations(data[0].removeprefix("debian:"))
        return Corpus(((target, source) for source, target in pairs), pairs.faults) if reverse else pairs
    return _file_pairs(data, spool, reverse=reverse, skip_bad=skip_bad)


def phrases(data: str, *, reverse: bool, held_out: int, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Training and held-out phrases: ``cldr:en-de``, or ``cldr:en-de:3000`` for so many in all."""
    languages, _, count = data.removeprefix("cldr:").partition(":")
    source, _, target = languages.partition("-")
    if not source or not target or not (count or "1").isdecimal():
        raise ValueError(f"data: expected a name like cldr:en-de or cldr:en-de:3000, got {data!r}")
    size = int(count) if count else PHRASES
    if reverse:
        source, target = target, source
    return cldr.corpus(source, target, count=size, held_out=held_out, seed=seed)


def summary_pairs(data: Sequence[str], *, skip_bad: bool, spool: Path | None = None) -> Corpus[Pair] | Pairs[str]:
    """Summarization pairs: ``docstrings``, ``debian``, a TSV, or two files with a text a line."""
    match list(data):
        case ["docstrings"]:
            return Corpus(docstrings())
        case ["debian"]:
            return debian.summaries()
        case _:
            return _file_pairs(data, spool, skip_bad=skip_bad, alike=False)


def labelled_texts(data: Sequence[str], *, skip_bad: bool, spool: Path | None = None) -> Corpus[Pair] | Pairs[str]:
    """Pairs of a text and its label: a TSV, or two files with a text a line."""
    return _file_pairs(data, spool, skip_bad=skip_bad, alike=False)


def language_passages(data: Sequence[str], *, skip_bad: bool, spool: Path | None = None) -> Corpus[str] | Texts:
    """Passages of running text: ``topics``, or files."""
    if tuple(data) == ("topics",):
        return Corpus(language_reference())
    paths = _existing(data)
    if spool is None:
        return read_passages(paths, skip_bad=skip_bad)
    return spool_passages(spool, paths, skip_bad=skip_bad)


def language_text(data: Sequence[str], *, skip_bad: bool, spool: Path | None = None) -> Corpus[str] | Blocks:
    """Whole texts: ``topics``, or files; spooled ones are the blocks of one text."""
    if tuple(data) == ("topics",):
        return Corpus(["\n\n".join(language_reference()) + "\n"])
    paths = _existing(data)
    if spool is None:
        return read_texts(paths, skip_bad=skip_bad)
    return spool_texts(spool, paths, skip_bad=skip_bad)


def split(
    examples: Sequence[T], source: Callable[[T], str], *, held_out: int, seed: int, group: Callable[[str], str] = str
) -> tuple[Sequence[T], list[T]]:
    """Training and held-out examples, as by ``split_pairs``; the places of spooled ones are spooled, too."""

    def parts() -> tuple[Places, Places]:
        return split_places(map(source, examples), held_out, seed, group=group)

    if isinstance(examples, Stored):
        train, held = spooled(examples.records.path, "split", (held_out, seed, group.__qualname__), np.int64, parts)
    else:
        train, held = parts()
    return select(examples, train), [examples[place] for place in held.tolist()]


def _file_pairs(
    data: Sequence[str], spool: Path | None, *, skip_bad: bool, reverse: bool = False, alike: bool = True
) -> Corpus[Pair] | Pairs[str]:
    """Pairs of a TSV, or of two files."""
    if len(data) > 2:
        raise ValueError(f"data: expected one or two files, got {len(data)}")
    paths = _existing(data)
    if spool is None:
        return read_pairs(*paths, reverse=reverse, skip_bad=skip_bad, alike=alike)
    return spool_pairs(spool, *paths, reverse=reverse, skip_bad=skip_bad, alike=alike)


def _existing(data: Sequence[str]) -> list[Path]:
    """Check that files exist; the error lists the named corpora."""
    for name in data:
        path = Path(name)
        if path.is_char_device() or path.is_block_device():
            raise ValueError(f"{name}: expected a file, found a device")
        if not path.exists():
            known = "; ".join(f"to {task}: {names}" for task, names in NAMES.items())
            raise FileNotFoundError(f"{name}: no such file, and no corpus of that name; those are, {known}")
    return [Path(name) for name in data]
