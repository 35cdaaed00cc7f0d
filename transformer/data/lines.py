"""The lines of a text file: plain, `.gz`, or the only text inside a `.zip`."""

from __future__ import annotations

import gzip
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from transformer.data.faults import Fault

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it cannot open such an archive at all
    LZMAError = zlib.error  # type: ignore[misc, assignment]


def read_lines(path: Path) -> Iterator[tuple[int, str | Fault]]:
    """The lines of a text, numbered from 1, in Unicode NFC, each with a line feed at its end if the file has one.

    Raises FileNotFoundError for a missing file, and ValueError for a directory, a damaged or encrypted archive, and a
    zip with no file or several to choose from. A file whose name begins with `_` inside a zip does not count.
    """
    number = 0
    try:
        with _opened(path) as stream:
            # Bytes are split at LF alone; text mode would also split at characters that belong to a sentence.
            for number, raw in enumerate(stream, start=1):
                yield number, _decoded(raw, "utf-8-sig" if number == 1 else "utf-8")
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, LZMAError, EOFError) as error:
        raise ValueError(f"{path}, after line {number}: damaged {path.suffix} file ({error})") from None


def _decoded(raw: bytes, encoding: str) -> str | Fault:
    try:
        line = raw.decode(encoding)
    except UnicodeDecodeError:
        return Fault.NOT_UTF8
    if line.endswith("\r\n"):
        line = line[:-2] + "\n"
    return line if line.isascii() else unicodedata.normalize("NFC", line)


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
