"""Text files: whole texts for causal language models, passages for masked ones."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from transformer.data.lines import read_lines
from transformer.data.validation import MAX_CHARACTERS, Corpus, Fault, gather


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


def pieces(text: str, size: int = 2**18) -> Iterator[str]:
    """Split a text into pieces of about ``size`` characters that tokenize as the whole does.

    Tokenizers that are learned here see a single blank or line's end between two words as the beginning of the second,
    so that a piece may begin there. A tokenizer takes some hundred bytes for each character that it reads at once.

    >>> list(pieces("to be,  or not", 2))
    ['to', ' be,  or', ' not']
    """
    start = 0
    while start < len(text):
        found = re.compile(r"(?<=\S)\s(?=\S)").search(text, start + size)
        end = found.start() if found else len(text)
        yield text[start:end]
        start = end


Entries = Iterator[tuple[int, str | Fault]]


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


def _passages(path: Path) -> Entries:
    lines = list(read_lines(path))
    separated = any(not isinstance(line, Fault) and not line.strip() for _, line in lines)
    start, words = 0, list[str]()  # the passage that is being read, and its first line

    def ended() -> Entries:
        if words:
            passage = " ".join(words)
            yield start, passage if len(passage) <= MAX_CHARACTERS else Fault.TOO_LONG
            words.clear()

    for number, line in lines:
        if isinstance(line, Fault):
            yield number, line
            continue
        if not separated or not line.strip():
            yield from ended()
        if not words:
            start = number
        words += line.split()
    yield from ended()
