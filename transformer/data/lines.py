"""Line reading: text files that are plain, `.gz`, or the only text inside a `.zip`."""

from __future__ import annotations

import codecs
import errno
import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import count
from pathlib import Path, PurePosixPath
from typing import IO

from transformer.data.normalization import characters
from transformer.data.validation import Fault

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it cannot open such an archive at all
    LZMAError = zlib.error  # type: ignore[misc, assignment]


MAX_LINE = 2**23
"""Maximum bytes of a line: longer ones are not text, and may exceed the memory."""

MAX_EXPANSION = 200
"""Times that a compressed file may expand: text becomes some ten times as large, a file of zeros a thousand times."""

FREE_BYTES = 2**26
"""Added to that limit, since short texts may repeat themselves."""

# BadGzipFile is an OSError, and so is what bz2 and places before the file's beginning raise; zipfile lets all through.
DAMAGED = (
    EOFError,
    LZMAError,
    NotImplementedError,
    OSError,
    UnicodeDecodeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_lines(path: Path) -> Iterator[tuple[int, str | Fault]]:
    """Read the lines of a text file: see `decoded_lines`.

    Raises FileNotFoundError for a missing file, and ValueError for a directory, a damaged or encrypted archive, a zip
    with no file or several to choose from, and for another encoding of a whole file. A file whose name begins with `_`
    inside a zip does not count.
    """
    number = 0
    try:
        with _opened(path) as stream:
            for number, entry in decoded_lines(stream, str(path)):
                yield number, entry
    except DAMAGED as error:
        if isinstance(error, OSError) and not _is_damage(error):
            raise
        raise ValueError(f"{path}, after line {number}: damaged {path.suffix} file ({error})") from None


def _is_damage(error: OSError) -> bool:
    """True for an error of an archive, as opposed to one of the disk or a missing file."""
    return isinstance(error, gzip.BadGzipFile) or (type(error) is OSError and error.errno in (None, errno.EINVAL))


def decoded_lines(stream: Iterable[bytes], name: str) -> Iterator[tuple[int, str | Fault]]:
    """Decode lines of UTF-8 text: numbered from 1, normalised, with their line feeds.

    Args:
        stream: the text in pieces that end in LF; text mode would also split at characters that belong to a sentence.
        name: of the text, for errors.

    Raises:
        ValueError: the text is UTF-16 or UTF-32, or has lines that end in CR alone.
    """
    number, head = 0, b""
    for number, raw in enumerate(stream, start=1):
        if number <= 2:  # a line's end in UTF-16 has bytes on both sides of the LF
            head += raw
            _check_encoding(head, name)
        try:
            yield number, characters(raw.decode())
        except UnicodeDecodeError:
            yield number, Fault.NOT_UTF8
    if number == 1 and b"\r" in head.rstrip():
        raise ValueError(f"{name}: its lines end in CR alone, expected LF or CRLF; tr '\\r' '\\n' makes them that")


def check_length(size: int, name: str) -> None:
    """Refuse a line, or the beginning of one, of too many bytes.

    Raises:
        ValueError: it is longer than ``MAX_LINE``.
    """
    if size > MAX_LINE:
        raise ValueError(f"{name}: a line has more than {MAX_LINE:,} bytes, and so is no text")


def _check_encoding(head: bytes, name: str) -> None:
    marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)) and b"\0" in head
    if marked or 3 * head.count(b"\0") > len(head):  # every other byte of a Latin letter
        raise ValueError(f"{name}: looks like UTF-16 or UTF-32, expected UTF-8; iconv -f UTF-16 -t UTF-8 converts it")


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, found a directory")
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            yield _bounded(stream, path, _max_size(path))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(_only_text(path, archive)) as stream:
            yield _bounded(stream, path, _max_size(path))
    else:
        with path.open("rb") as stream:
            yield _bounded(stream, path, None)


def _max_size(path: Path) -> int:
    return MAX_EXPANSION * path.stat().st_size + FREE_BYTES


def _bounded(stream: BufferedIOBase | IO[bytes], path: Path, max_size: int | None) -> Iterator[bytes]:
    """Bounded lines of a stream: none longer than ``MAX_LINE``, and their total limited.

    Raises:
        ValueError: a limit is exceeded; nothing of that length is read.
    """
    read = 0
    for number in count(1):
        line = stream.readline(MAX_LINE + 1)
        if not line:
            return
        check_length(len(line), f"{path}, line {number}")
        read += len(line)
        if max_size is not None and read > max_size:
            raise ValueError(
                f"{path}, line {number}: expands to more than {MAX_EXPANSION} times its size, which no text does"
            )
        yield line


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
