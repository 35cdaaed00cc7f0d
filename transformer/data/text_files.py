"""Text files: whole texts for causal language models, passages for masked ones; in memory, or spooled to files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from transformer.data.lines import read_lines
from transformer.data.records import Array, Records, Stored, Texts
from transformer.data.spool import file_identity, spooled
from transformer.data.validation import MAX_CHARACTERS, Corpus, Fault, Faults, gather, good_entries

BLOCK = 2**16  # characters of a text that are read at once
BORDER = re.compile(r"(?<=\S)\s(?=\S)")

Entries = Iterator[tuple[int, str | Fault]]


def read_texts(paths: Iterable[str | os.PathLike[str]], *, skip_bad: bool = False) -> Corpus[str]:
    """Read each file as one text, unchanged except for Unicode NFC and LF at the ends of lines.

    Files are UTF-8, plain, `.gz`, or the only text inside a `.zip`. Lines in another encoding are counted in one error,
    or left out with `skip_bad=True`: then `faults` of the result counts them.

    Raises FileNotFoundError for a missing file, and ValueError for bad lines, a directory, a damaged archive, or where
    there is no text at all.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "verse.txt")
    ...     _ = file.write_text("To be,\\nor not to be\\n", encoding="utf-8")
    ...     read_texts([file])
    ['To be,\\nor not to be\\n']
    """
    return gather(_by_name(paths, _whole), skip_bad=skip_bad)


def read_passages(paths: Iterable[str | os.PathLike[str]], *, skip_bad: bool = False) -> Corpus[str]:
    """Read the passages of files, white space inside them collapsed.

    Where a file has empty lines, they separate its passages, which may go over several lines; elsewhere each line is a
    passage. Those of more than `MAX_CHARACTERS` count as bad, as lines that are not in UTF-8 do.

    Raises what `read_texts` raises.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "verse.txt")
    ...     _ = file.write_text("To be,\\nor not\\n\\nThat is\\n", encoding="utf-8")
    ...     read_passages([file])
    ['To be, or not', 'That is']
    """
    return gather(_by_name(paths, _passages), skip_bad=skip_bad)


def spool_texts(
    spool: str | os.PathLike[str], paths: Iterable[str | os.PathLike[str]], *, skip_bad: bool = False
) -> Blocks:
    """Read files as `read_texts` does, joined by LF to one text, into files of the directory `spool` instead of memory.

    They are written once, and opened while the files do not change.
    """
    paths, faults = list(paths), Faults()

    def blocks() -> Iterator[bytes]:
        held = ""
        for line in good_entries(_joined(paths), faults, skip_bad=skip_bad):
            held += line
            whole = len(held) // BLOCK * BLOCK
            yield from (held[start : start + BLOCK].encode() for start in range(0, whole, BLOCK))
            held = held[whole:]
        if held:
            yield held.encode()

    identity = ("text", *map(file_identity, paths), skip_bad)
    return Blocks(spooled(spool, "texts", identity, np.uint8, blocks, lambda: str(faults)))


def spool_passages(
    spool: str | os.PathLike[str], paths: Iterable[str | os.PathLike[str]], *, skip_bad: bool = False
) -> Texts:
    """Read passages as `read_passages` does, into files of the directory `spool` instead of memory.

    They are written once, and opened while the files do not change.
    """
    paths, faults = list(paths), Faults()

    def passages() -> Iterator[bytes]:
        for passage in good_entries(_by_name(paths, _passages), faults, skip_bad=skip_bad):
            yield passage.encode()

    identity = ("passages", *map(file_identity, paths), skip_bad)
    return Texts(spooled(spool, "texts", identity, np.uint8, passages, lambda: str(faults)))


class Blocks(Stored[str]):
    """Blocks of one text: ``BLOCK`` characters each, the last of fewer, up to the character ``stop``."""

    def __init__(self, records: Records, stop: int | None = None) -> None:
        self.records, self._texts = records, Texts(records)
        whole = BLOCK * (len(records) - 1) + len(self._texts[-1]) if len(records) else 0
        self.stop = whole if stop is None else stop

    def __len__(self) -> int:
        return -(-self.stop // BLOCK)

    def item(self, place: int) -> str:
        return self._texts.item(place)[: self.stop - BLOCK * place]

    def rest(self, start: int) -> str:
        """Text from the character ``start`` on."""
        return "".join(self[start // BLOCK :])[start % BLOCK :]

    @property
    def key(self) -> str:
        return f"{self.records.key}, {self.stop} characters"

    @property
    def lengths(self) -> Array:
        return np.minimum(BLOCK, self.stop - BLOCK * np.arange(len(self)))


def pieces(texts: Iterable[str], size: int = 2**18) -> Iterator[str]:
    """Pieces of about ``size`` characters that tokenize as the whole text does, which comes in parts.

    Tokenizers that are learned here see a single blank or line's end between two words as the beginning of the second,
    so that a piece may begin there. A tokenizer takes some hundred bytes for each character that it reads at once.

    >>> list(pieces(["to be", ",  or not"], 2))
    ['to', ' be,  or', ' not']
    """
    held, searched = "", size  # what has no border yet, and the place to search from: all before is no border
    for text in texts:
        held += text
        start = 0
        while found := BORDER.search(held, start + searched):
            yield held[start : found.start()]
            start, searched = found.start(), size
        held = held[start:]
        searched = max(size, len(held) - 1)
    if held:
        yield held


def _by_name(paths: Iterable[str | os.PathLike[str]], read: Callable[[Path], Entries]) -> dict[str, Entries]:
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise TypeError(f"paths: expected a list of files, got {paths!r}; [path] is a list of one")
    return {str(path): read(Path(path)) for path in paths}


def _whole(path: Path) -> Entries:
    good: list[str] = []
    for number, line in read_lines(path):
        if isinstance(line, Fault):
            yield number, line
        else:
            good.append(line)
    if good:
        yield 1, "".join(good)


def _joined(paths: Iterable[str | os.PathLike[str]]) -> dict[str, Entries]:
    """Lines of files that are one text: a LF precedes all files with good lines but the first."""
    begun = False

    def lines(path: Path) -> Entries:
        nonlocal begun
        joint = "\n" if begun else ""
        for number, line in read_lines(path):
            if isinstance(line, Fault):
                yield number, line
            else:
                yield number, joint + line
                begun, joint = True, ""

    return _by_name(paths, lines)


def _passages(path: Path) -> Entries:
    kept = None if path.is_file() else list(read_lines(path))  # a pipe cannot be read twice

    def lines() -> Entries:
        return read_lines(path) if kept is None else iter(kept)

    separated = any(not isinstance(line, Fault) and not line.strip() for _, line in lines())
    start, words = 0, list[str]()  # the passage that is being read, and its first line

    def ended() -> Entries:
        if words:
            passage = " ".join(words)
            yield start, passage if len(passage) <= MAX_CHARACTERS else Fault.TOO_LONG
            words.clear()

    for number, line in lines():
        if isinstance(line, Fault):
            yield number, line
            continue
        if not separated or not line.strip():
            yield from ended()
        if not words:
            start = number
        if len(words) <= MAX_CHARACTERS:  # else it is too long already
            words += line.split()
    yield from ended()
