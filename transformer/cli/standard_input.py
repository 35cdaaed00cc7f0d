"""Standard input: lines of text, as they arrive."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from transformer.cli import console
from transformer.data.lines import check_length, decoded_lines
from transformer.data.validation import Fault

INPUT = "standard input"
CHUNK = 2**16  # bytes read at once, which limits the lines of a group


def input_lines() -> Iterator[list[str]]:
    """Read the lines of standard input, normalised as those of a corpus, in groups: as many as are available at a time.

    Raises:
        ValueError: standard input is closed, or not in UTF-8, or has an overlong line.
    """
    sizes: list[int] = []

    def arriving() -> Iterator[bytes]:
        for group in _groups(_opened()):
            sizes.append(len(group))
            yield from group

    entries = decoded_lines(arriving(), INPUT)
    for first in entries:
        group = []
        for number, entry in (first, *islice(entries, sizes.pop() - 1)):
            if isinstance(entry, Fault):
                raise ValueError(f"{INPUT}: line {number} is {entry}")
            group.append(entry)
        yield group


def _opened() -> BinaryIO:
    if sys.stdin is None:
        raise ValueError(f"{INPUT}: closed; expected texts there, or as arguments")
    if sys.stdin.isatty():
        console.say("type a text; Ctrl-D ends it")
    buffer: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    return io.BytesIO(sys.stdin.read().encode()) if buffer is None else buffer


def _groups(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Groups of complete lines with their LF, as soon as they arrive; the last one may lack it."""
    begun: list[bytes] = []  # of a line
    read = getattr(stream, "read1", stream.read)
    while chunk := read(CHUNK):
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join([*begun, lines[0]])
            begun = []
            yield [line + b"\n" for line in lines]
        if rest:
            begun.append(rest)
            check_length(sum(map(len, begun)), INPUT)
    if begun:
        yield [b"".join(begun)]
