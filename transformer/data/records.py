"""Records in files: sequences that are read from the disk item by item, for corpora that do not fit into memory.

Records → Texts (decoded) → Pairs (two adjacent items) → Selection (items at chosen places): each is a read-only
sequence over one of those before it, knows the lengths of its items from the offsets alone, and is pickled as the path
of its files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
S = TypeVar("S")
Array = np.ndarray[Any, Any]

VALUES, OFFSETS, NOTE = "values", "offsets", "note.txt"
PARTIAL = ".partial"  # ends the name of a directory that is being written


class Stored(Sequence[T], ABC, Generic[T]):
    """Read-only sequence over records; slices are lists."""

    records: Records  # those that hold the items

    @property
    @abstractmethod
    def key(self) -> str:
        """Identity of the items within the directory of the records."""

    @property
    @abstractmethod
    def lengths(self) -> Array:
        """Lengths of the items in values (N,), of pairs (N, 2); int64, known without reading them."""

    @property
    def faults(self) -> str:
        """Report of what was left out of the records, empty if nothing was."""
        return self.records.note

    @abstractmethod
    def item(self, place: int) -> T:
        """Item at a place from 0."""

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        places = range(len(self))[place]
        return self.item(places) if isinstance(places, int) else [self.item(one) for one in places]

    def __iter__(self) -> Iterator[T]:
        return map(self.item, range(len(self)))


class Records(Stored[Array]):
    """Records: arrays of one dtype and any lengths, memory-mapped and read-only.

    They are a directory of a flat file ``values.DTYPE`` and of ``offsets.int64``, one more than there are records.

    Args:
        path: the directory, as :func:`write_records` writes it.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its files do not fit together.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     records = write_records(Path(folder, "ids"), np.uint16, [[5, 6, 2], [7, 2]])
        ...     records[1].tolist(), records.lengths.tolist()
        ([7, 2], [3, 2])
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.records = Path(path), self
        files = list(self.path.glob(f"{VALUES}.*"))
        if len(files) != 1:
            raise FileNotFoundError(f"{self.path}: no records")
        self.values = _mapped(files[0], np.dtype(files[0].suffix[1:]))
        self.offsets = _mapped(self.path / f"{OFFSETS}.int64", np.dtype(np.int64))
        if not len(self.offsets) or self.offsets[-1] != len(self.values):
            raise ValueError(f"{self.path}: expected records of {len(self.values):,} values in all, as the file has")

    def __reduce__(self) -> tuple[type[Records], tuple[Path]]:
        return Records, (self.path,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def item(self, place: int) -> Array:
        return self.values[self.offsets[place] : self.offsets[place + 1]]

    @property
    def key(self) -> str:
        return self.path.name

    @property
    def lengths(self) -> Array:
        return np.diff(self.offsets)

    @cached_property
    def note(self) -> str:
        """Note that was written with the records."""
        return (self.path / NOTE).read_text(encoding="utf-8")


class Texts(Stored[str]):
    """Texts: records of UTF-8."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def item(self, place: int) -> str:
        return self.records.item(place).tobytes().decode()

    @property
    def key(self) -> str:
        return self.records.key

    @property
    def lengths(self) -> Array:
        return self.records.lengths


class Pairs(Stored[tuple[T, T]]):
    """Pairs of adjacent items: the first and the second, the third and the fourth, …"""

    def __init__(self, items: Stored[T]) -> None:
        self.items, self.records = items, items.records

    def __len__(self) -> int:
        return len(self.items) // 2

    def item(self, place: int) -> tuple[T, T]:
        return self.items.item(2 * place), self.items.item(2 * place + 1)

    @property
    def key(self) -> str:
        return self.items.key

    @property
    def lengths(self) -> Array:
        return self.items.lengths.reshape(-1, 2)


class Selection(Stored[T]):
    """Items at chosen places of a stored sequence, in the order of the places."""

    def __init__(self, items: Stored[T], places: npt.ArrayLike) -> None:
        chosen: Array = np.asarray(places, np.int64)
        inner: Selection[T] | None = items if isinstance(items, Selection) else None
        self.items: Stored[T] = items if inner is None else inner.items
        self.places: Array = chosen if inner is None else inner.places[chosen]
        self.records = items.records

    def __len__(self) -> int:
        return len(self.places)

    def item(self, place: int) -> T:
        return self.items.item(int(self.places[place]))

    @property
    def key(self) -> str:
        found = hashlib.sha256(self.items.key.encode())
        found.update(np.ascontiguousarray(self.places).data)
        return found.hexdigest()

    @property
    def lengths(self) -> Array:
        return self.items.lengths[self.places]


def select(items: Sequence[T], places: Array) -> Sequence[T]:
    """Items at places: a :class:`Selection` of a stored sequence, a list of another."""
    return Selection(items, places) if isinstance(items, Stored) else [items[place] for place in places.tolist()]


def write_records(
    path: Path,
    dtype: npt.DTypeLike,
    records: Iterable[bytes | npt.ArrayLike],
    note: Callable[[], str] = str,
) -> Records:
    """Write records one by one, whole or not at all: the directory gets its name when its files are on the disk.

    Args:
        path: the directory, which is replaced if there is one.
        dtype: of the values.
        records: bytes, or values that the dtype can hold.
        note: called at the end for a text to keep with the records.

    Raises:
        OverflowError: a value is no value of the dtype.
    """
    partial = path.with_name(path.name + PARTIAL)
    dtype = np.dtype(dtype)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        with (
            open(partial / f"{VALUES}.{dtype.name}", "wb") as values,
            open(partial / f"{OFFSETS}.int64", "wb") as offsets,
            open(partial / NOTE, "w", encoding="utf-8") as notes,
        ):
            end = 0
            offsets.write(array("q", [end]))
            for record in records:
                content = record if isinstance(record, bytes) else np.asarray(record, dtype).tobytes()
                end += len(content) // dtype.itemsize
                values.write(content)
                offsets.write(array("q", [end]))
            notes.write(note())
            for file in (values, offsets, notes):
                file.flush()
                os.fsync(file.fileno())
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Records(path)


def chunks(items: Iterable[S], size: int = 2**11) -> Iterator[list[S]]:
    """Lists of ``size`` adjacent items, the last of fewer."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def _mapped(path: Path, dtype: np.dtype[Any]) -> Array:
    """Values of a file, as an array over its mapping; an empty file cannot be mapped."""
    return np.memmap(path, dtype, "r").view(np.ndarray) if path.stat().st_size else np.frombuffer(b"", dtype)
