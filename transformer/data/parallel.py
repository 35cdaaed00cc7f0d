"""Parallel corpora: reading pairs of texts from files, and splitting them without leakage.

A corpus is a plain list of `(source, target)` pairs: sentences and their translations, or texts and their summaries. It
is read from one TSV file or from two files with a text a line, each of them plain, `.gz`, or the only text inside a
`.zip`. One that does not fit into memory is spooled: a sequence of pairs that are read from files as they are needed.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from transformer.data import normalization
from transformer.data.lines import read_lines
from transformer.data.records import Pairs, Texts
from transformer.data.spool import file_identity, spooled
from transformer.data.validation import (
    FREE_CHARACTERS,
    MAX_CHARACTERS,
    MAX_RATIO,
    Corpus,
    Fault,
    Faults,
    gather,
    good_entries,
)

Places = np.ndarray[Any, np.dtype[np.int64]]
Pair: TypeAlias = tuple[str, str]
"""A source and its target: a sentence and its translation, a text and its summary."""


def read_pairs(
    path: str | os.PathLike[str],
    target_path: str | os.PathLike[str] | None = None,
    *,
    reverse: bool = False,
    skip_bad: bool = False,
    alike: bool = True,
) -> Corpus[Pair]:
    """Read the pairs of a corpus, in file order.

    With `path` alone, each line is `source<TAB>target`; further columns, such as an attribution, are ignored. With
    `target_path`, line n of `path` belongs to line n of `target_path`. A name that ends in `.gz` is decompressed; a
    `.zip` must hold exactly one file, not counting those whose name begins with `_`.

    Text is UTF-8, its lines ending in LF or CRLF; both sides are normalised to Unicode NFC without
    surrounding white space. `reverse=True` swaps the columns, so a file of English and German trains German to English.

    Bad lines are those without a tab, with an empty side, not in UTF-8, with a side of more than `MAX_CHARACTERS`,
    and, unless `alike` is False, as for summaries, with one side more than `MAX_RATIO` times as long as the other plus
    `FREE_CHARACTERS`. All of them are counted in one error, or left out with `skip_bad=True`: then `faults` of the
    result counts them.

    Raises FileNotFoundError for a missing file, and ValueError for bad lines, a directory, an empty or damaged file,
    parallel files of different lengths, a zip with no file or several to choose from.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     corpus = pathlib.Path(folder, "greetings.tsv")
    ...     _ = corpus.write_text("Good morning\\tGuten Morgen\\nThanks\\tDanke\\n", encoding="utf-8")
    ...     read_pairs(corpus, reverse=True)
    [('Guten Morgen', 'Good morning'), ('Danke', 'Thanks')]
    """
    return gather(_entries(path, target_path, reverse, alike), skip_bad=skip_bad)


def spool_pairs(
    spool: str | os.PathLike[str],
    path: str | os.PathLike[str],
    target_path: str | os.PathLike[str] | None = None,
    *,
    reverse: bool = False,
    skip_bad: bool = False,
    alike: bool = True,
) -> Pairs[str]:
    """Read the pairs of a corpus as `read_pairs` does, into files of the directory `spool` instead of memory.

    They are written once, and opened while the corpus does not change.

    Raises what `read_pairs` raises.
    """
    faults = Faults()
    paths = [one for one in (path, target_path) if one is not None]

    def sides() -> Iterator[bytes]:
        for pair in good_entries(_entries(path, target_path, reverse, alike), faults, skip_bad=skip_bad):
            yield from (side.encode() for side in pair)

    identity = ("pairs", *map(file_identity, paths), reverse, skip_bad, alike)
    return Pairs(Texts(spooled(spool, "texts", identity, np.uint8, sides, lambda: str(faults))))


def split_pairs(
    pairs: Sequence[Pair],
    *,
    held_out: int,
    seed: int,
    always_train: Collection[str] = (),
    group: Callable[[str], str] = str,
) -> tuple[list[Pair], list[Pair]]:
    """Split into `(train, held_out)` so that no held-out source occurs in training.

    Sources of one `group` go to one side together, with all their targets; by default each source is a group of its
    own. Texts to be summarized that begin alike are often about the same thing: `group=first_sentence` keeps them
    together. Exactly `held_out` pairs are held out, drawn by `seed`; both parts keep the order of `pairs`. Sources in
    `always_train`, with their groups, are never held out.

    Raises ValueError if `held_out` is negative, leaves nothing to train on, or cannot be met.

    >>> train, held_out = split_pairs([("a", "1"), ("b", "2"), ("a", "3")], held_out=1, seed=0)
    >>> train, held_out
    ([('a', '1'), ('a', '3')], [('b', '2')])
    """
    train, held = split_places((source for source, _ in pairs), held_out, seed, always_train, group)
    return [pairs[place] for place in train.tolist()], [pairs[place] for place in held.tolist()]


def split_places(
    sources: Iterable[str],
    held_out: int,
    seed: int,
    always_train: Collection[str] = (),
    group: Callable[[str], str] = str,
) -> tuple[Places, Places]:
    """Places of the training and of the held-out sources, split as by `split_pairs`, which reads them only once."""
    digests = np.fromiter((_digest(group(source)) for source in sources), np.uint64)
    names, first, numbers, sizes = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    fixed = np.isin(names, np.fromiter((_digest(group(source)) for source in always_train), np.uint64))
    order = np.argsort(first)  # of their first sources
    candidates = array("q", order[~fixed[order]].tobytes())
    random.Random(seed).shuffle(candidates)

    chosen = np.zeros(len(names), np.bool_)
    missing = held_out
    for name in candidates:
        if missing <= 0:
            break
        if sizes[name] <= missing:
            chosen[name] = True
            missing -= int(sizes[name])
    if held_out < 0 or missing or chosen.all():
        near = held_out - missing
        hint = f"; equal sources stay together: {near:,} can be" if missing and 0 < near < len(digests) else ""
        raise ValueError(
            f"held_out: cannot hold out {held_out:,} of {len(digests):,} pairs with {len(names):,} distinct "
            f"sources, of which {len(names) - len(candidates):,} must stay in training; "
            f"at least one source must be left to train on{hint}"
        )
    held = chosen[numbers]
    return np.flatnonzero(~held), np.flatnonzero(held)


def first_sentence(text: str) -> str:
    """First sentence of a text (the lead), a baseline summary.

    >>> first_sentence("Cats 2.0 purr. They also sleep.")
    'Cats 2.0 purr.'
    """
    return re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0]


def _digest(text: str) -> int:
    """Digest of 64 bits: the texts themselves may not fit into memory. Equal ones of two texts keep these together."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


def _entries(
    path: str | os.PathLike[str], target_path: str | os.PathLike[str] | None, reverse: bool, alike: bool
) -> dict[str, Iterator[tuple[int, Pair | Fault]]]:
    """Checked lines of one file, or of two side by side."""
    if target_path is None:
        files, entries = str(path), _tsv(Path(path))
    else:
        files, entries = f"{path} and {target_path}", _side_by_side(Path(path), Path(target_path))
    return {files: ((number, _checked(entry, reverse, alike)) for number, entry in entries)}


def _tsv(path: Path) -> Iterator[tuple[int, Pair | Fault]]:
    for number, line in read_lines(path):
        if isinstance(line, Fault):
            yield number, line
        elif not line.strip():
            yield number, Fault.EMPTY
        elif "\t" not in line:
            yield number, Fault.NO_TAB
        else:
            source, target = line.split("\t", 2)[:2]
            yield number, (source, target)


def _side_by_side(source_path: Path, target_path: Path) -> Iterator[tuple[int, Pair | Fault]]:
    lengths = [0, 0]
    for sides in zip_longest(read_lines(source_path), read_lines(target_path)):
        for side, numbered in enumerate(sides):
            lengths[side] += numbered is not None
        if lengths[0] != lengths[1]:
            continue  # one file has ended: count the rest of the other for the message
        (number, source), (_, target) = sides
        if isinstance(source, Fault) or isinstance(target, Fault):
            yield number, Fault.NOT_UTF8
        else:
            yield number, (source, target)
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"{source_path} has {lengths[0]:,} lines and {target_path} has {lengths[1]:,}: "
            "parallel files must have the same number of lines"
        )


def _checked(entry: Pair | Fault, reverse: bool, alike: bool) -> Pair | Fault:
    """Normalised pair, or the fault of its line."""
    if isinstance(entry, Fault):
        return entry
    source, target = (normalization.line(side) for side in (reversed(entry) if reverse else entry))
    shorter, longer = sorted((len(source), len(target)))
    if not longer:
        return Fault.EMPTY
    if not shorter:
        return Fault.EMPTY_TARGET if source else Fault.EMPTY_SOURCE
    if longer > MAX_CHARACTERS:
        return Fault.TOO_LONG
    if alike and longer > MAX_RATIO * shorter + FREE_CHARACTERS:
        return Fault.LOPSIDED
    return source, target
