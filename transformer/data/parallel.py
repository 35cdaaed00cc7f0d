"""Parallel corpora: reading pairs of texts from files, and splitting them without leakage.

A corpus is a plain list of `(source, target)` pairs: sentences and their translations, or texts and their summaries. It
is read from one TSV file or from two files with a text a line, each of them plain, `.gz`, or the only text inside a
`.zip`.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

from transformer.data import normalization
from transformer.data.lines import read_lines
from transformer.data.validation import FREE_CHARACTERS, MAX_CHARACTERS, MAX_RATIO, Corpus, Fault, gather

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
    if target_path is None:
        files, entries = str(path), _tsv(Path(path))
    else:
        files, entries = f"{path} and {target_path}", _side_by_side(Path(path), Path(target_path))
    checked = ((number, _checked(entry, reverse, alike)) for number, entry in entries)
    return gather({files: checked}, skip_bad=skip_bad)


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
    sizes = Counter(group(source) for source, _ in pairs)
    fixed = {group(source) for source in always_train}
    candidates = [name for name in sizes if name not in fixed]
    random.Random(seed).shuffle(candidates)

    chosen: set[str] = set()
    missing = held_out
    for name in candidates:
        if sizes[name] <= missing:
            chosen.add(name)
            missing -= sizes[name]
    if held_out < 0 or missing or len(chosen) == len(sizes):
        near = held_out - missing
        hint = f"; equal sources stay together: {near:,} can be" if missing and 0 < near < len(pairs) else ""
        raise ValueError(
            f"held_out: cannot hold out {held_out:,} of {len(pairs):,} pairs with {len(sizes):,} distinct "
            f"sources, of which {len(sizes) - len(candidates):,} must stay in training; "
            f"at least one source must be left to train on{hint}"
        )
    train = [pair for pair in pairs if group(pair[0]) not in chosen]
    return train, [pair for pair in pairs if group(pair[0]) in chosen]


def first_sentence(text: str) -> str:
    """First sentence of a text (the lead), a baseline summary.

    >>> first_sentence("Cats 2.0 purr. They also sleep.")
    'Cats 2.0 purr.'
    """
    return re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0]


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
