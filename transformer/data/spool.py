"""Spool: a directory of what a training has read and tokenized, which a resumed training and other processes open."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt

from transformer.data.records import Records, write_records


def spooled(
    directory: str | os.PathLike[str],
    kind: str,
    identity: object,
    dtype: npt.DTypeLike,
    records: Callable[[], Iterable[Any]],
    note: Callable[[], str] = str,
) -> Records:
    """Records of a spool: opened if they are there already, else written.

    A spool holds one set of each kind; that of another identity, and what a killed process left, is removed. One
    process at a time may write: where several share a spool, one calls this first, and the others when it has returned.

    Args:
        directory: the spool, created if missing.
        kind: of records, such as ``"texts"``.
        identity: everything that the records depend on; compared by its ``repr``.
        dtype: of the records.
        records: makes the records; not called if they are there.
        note: as of :func:`~transformer.data.records.write_records`.

    Raises:
        ValueError: the directory is a symbolic link; nothing is written to another place.
    """
    directory = Path(directory)
    if directory.is_symlink():
        raise ValueError(f"spool: expected a directory, got the symbolic link {directory}")
    path = directory / f"{kind}-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"
    for other in directory.glob(f"{kind}-*"):
        if other != path:
            shutil.rmtree(other, ignore_errors=True)
    with suppress(FileNotFoundError, ValueError):  # a power failure may damage even what had its name
        return Records(path)
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    try:
        return write_records(path, dtype, records(), note)
    except BaseException:  # such as bad lines: nothing is left of a corpus that cannot be read
        with suppress(OSError):
            for place in missing:
                place.rmdir()
        raise


def file_identity(path: str | os.PathLike[str]) -> tuple[object, ...]:
    """Identity of a file's content: its name, size and time of change; a pipe is never the same again.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file")
    found = os.stat(path)
    changing = () if Path(path).is_file() else (secrets.token_hex(),)
    return (os.path.abspath(path), found.st_size, found.st_mtime_ns, *changing)
