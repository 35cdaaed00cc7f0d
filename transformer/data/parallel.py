"""Parallel corpora: reading sentence pairs from the user's files, and splitting them honestly.

A corpus is a plain list of `(source, target)` pairs. It is read from one TSV file or from two files with a sentence a
line, each of them plain, `.gz`, or the only text inside a `.zip`.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import TypeAlias

Pair: TypeAlias = tuple[str, str]
"""A source sentence and its translation."""

_QUOTED_CHARACTERS = 60


def read_pairs(
    path: str | os.PathLike[str], target_path: str | os.PathLike[str] | None = None, *, reverse: bool = False
) -> list[Pair]:
    """Read the sentence pairs of a corpus, in file order.

    With `path` alone, each line is `source<TAB>target`; further columns, such as an attribution, are ignored. With
    `target_path`, line n of `path` is translated by line n of `target_path`. A name that ends in `.gz` is
    decompressed; a `.zip` must hold exactly one file, not counting those whose name begins with `_`.

    Text is UTF-8, its lines ending in LF or CRLF; sentences are normalised to Unicode NFC and stripped of surrounding
    white space. `reverse=True` swaps the columns, so a file of English and German trains German to English.

    Raises FileNotFoundError for a missing file, and ValueError naming the file and the line for anything malformed: a
    directory, an empty or damaged file, a line without a tab, an empty sentence, bytes that are not UTF-8, parallel
    files of different lengths, a zip with no file or several to choose from.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     corpus = pathlib.Path(folder, "greetings.tsv")
    ...     _ = corpus.write_text("Good morning\\tGuten Morgen\\nThanks\\tDanke\\n", encoding="utf-8")
    ...     read_pairs(corpus, reverse=True)
    [('Guten Morgen', 'Good morning'), ('Danke', 'Thanks')]
    """
    columns = _tsv(Path(path)) if target_path is None else _side_by_side(Path(path), Path(target_path))
    pairs = [(target, source) for source, target in columns] if reverse else list(columns)
    if not pairs:
        raise ValueError(f"{path}: the file is empty; expected at least one sentence pair")
    return pairs


def split_pairs(
    pairs: Sequence[Pair], *, held_out: int, seed: int, always_train: Collection[str] = ()
) -> tuple[list[Pair], list[Pair]]:
    """Split into `(train, held_out)` so that no held-out source occurs in training.

    A source with several translations goes to one side with all of them. Exactly `held_out` pairs are held out, drawn
    by `seed`; both parts keep the order of `pairs`. Sources in `always_train` are never held out.

    Raises ValueError if `held_out` is negative, leaves nothing to train on, or cannot be met.

    >>> train, held_out = split_pairs([("a", "1"), ("b", "2"), ("a", "3")], held_out=1, seed=0)
    >>> train, held_out
    ([('a', '1'), ('a', '3')], [('b', '2')])
    """
    translations: defaultdict[str, int] = defaultdict(int)
    for source, _ in pairs:
        translations[source] += 1
    candidates = [source for source in translations if source not in always_train]
    random.Random(seed).shuffle(candidates)

    chosen: set[str] = set()
    missing = held_out
    for source in candidates:
        if translations[source] <= missing:
            chosen.add(source)
            missing -= translations[source]
    if held_out < 0 or missing or len(chosen) == len(translations):
        raise ValueError(
            f"held_out: cannot hold out {held_out:,} of {len(pairs):,} pairs with {len(translations):,} distinct "
            f"sources, of which {len(translations) - len(candidates):,} must stay in training; "
            "at least one source must be left to train on"
        )
    train = [pair for pair in pairs if pair[0] not in chosen]
    return train, [pair for pair in pairs if pair[0] in chosen]


def _tsv(path: Path) -> Iterator[Pair]:
    for number, line in _lines(path):
        columns = line.split("\t", 2)
        if len(columns) < 2:
            found = f"1 column: {_quote(line)}" if line else "an empty line"
            raise ValueError(f"{path}, line {number}: expected source<TAB>target, found {found}")
        source, target = columns[0].strip(), columns[1].strip()
        if not source or not target:
            side = "target" if source else "source"
            raise ValueError(
                f"{path}, line {number}: expected source<TAB>target, found an empty {side}: {_quote(line)}"
            )
        yield source, target


def _side_by_side(source_path: Path, target_path: Path) -> Iterator[Pair]:
    paths = (source_path, target_path)
    lengths = [0, 0]
    for sentences in zip_longest(*map(_lines, paths)):
        for side, numbered in enumerate(sentences):
            if numbered is not None:
                lengths[side] += 1
        if lengths[0] != lengths[1]:
            continue  # one file has ended: count the rest of the other for the message
        for path, (number, sentence) in zip(paths, sentences, strict=True):
            if not sentence.strip():
                raise ValueError(f"{path}, line {number}: expected a sentence, found an empty line")
        (_, source), (_, target) = sentences
        yield source.strip(), target.strip()
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"{source_path} has {lengths[0]:,} lines and {target_path} has {lengths[1]:,}: "
            "parallel files must have the same number of lines"
        )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text, NFC and without their ends, numbered from 1."""
    number = 0
    try:
        with _opened(path) as stream:
            # Bytes are split at LF alone; text mode would also split at characters that belong to a sentence.
            for number, raw in enumerate(stream, start=1):
                line = raw.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, line if line.isascii() else unicodedata.normalize("NFC", line)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(
            f"{path}, line {number}: expected UTF-8, found byte 0x{byte:02x} at position {error.start + 1} of the line"
        ) from None
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}, after line {number}: damaged {path.suffix} file ({error})") from None


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, found a directory")
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            yield stream
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(_only_text(path, archive)) as stream:
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


def _only_text(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    def is_text(entry: zipfile.ZipInfo) -> bool:
        return not entry.is_dir() and not any(part.startswith("_") for part in PurePosixPath(entry.filename).parts)

    texts = [entry for entry in archive.infolist() if is_text(entry)]
    if len(texts) != 1:
        raise ValueError(
            f'{path}: expected exactly one file besides those that begin with "_", found {_listing(texts)}'
        )
    if texts[0].flag_bits & 0x1:
        raise ValueError(f"{path}: expected an open archive, found {texts[0].filename} encrypted")
    return texts[0]


def _listing(entries: Iterable[zipfile.ZipInfo]) -> str:
    names = [entry.filename for entry in entries]
    return f"{len(names)}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "none"


def _quote(line: str) -> str:
    """The line as one printable excerpt."""
    excerpt = line if len(line) <= _QUOTED_CHARACTERS else line[:_QUOTED_CHARACTERS] + "…"
    return json.dumps(excerpt, ensure_ascii=False)
