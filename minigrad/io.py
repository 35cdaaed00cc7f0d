"""Serialization of tensors as safetensors: plain data that cannot run code when read.

Files are written beside their destination and renamed into place, so that a crash leaves what was there before.
"""

from __future__ import annotations

import errno
import io
import json
import math
import mmap
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import safetensors.numpy

from minigrad.engine.tensor import Array, Tensor, as_array
from minigrad.ops.creation import tensor

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl


def save(tensors: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write named tensors to a safetensors file, replaced only once the new one is complete.

    An earlier file keeps its permissions and its owner, and a symbolic link its place; a new file has those permissions
    that the umask leaves.

    Example:
        >>> import minigrad as mg, tempfile
        >>> path = tempfile.mkdtemp() + "/weights.safetensors"
        >>> mg.save({"w": mg.ones(3)}, path)
        >>> mg.load(path)
        {'w': tensor([1., 1., 1.])}
    """
    path = Path(path)
    replace_file(path, to_bytes(tensors))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the named tensors of a safetensors file, in the order of their names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a whole safetensors file.
    """
    content = read_file(Path(path))
    try:
        return from_bytes(content)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def to_bytes(tensors: Mapping[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    """Serialize named tensors in the safetensors format, with metadata for other readers."""
    if not isinstance(tensors, Mapping):
        raise TypeError(f"tensors: expected tensors by name, as of a state_dict(), got {type(tensors).__name__}")
    if nested := [name for name, value in tensors.items() if isinstance(value, Mapping)]:
        raise TypeError(f"tensors: expected a tensor by each name, got a mapping for {nested[0]!r}")
    arrays = {name: as_array(value).copy(order="C") for name, value in tensors.items()}
    return bytes(safetensors.numpy.save(arrays, metadata))


def from_bytes(data: bytes | memoryview) -> dict[str, Tensor]:
    """Deserialize the named tensors of a safetensors file, sorted by name. Half-precision floats (F16, BF16)
    become float32.

    Raises:
        ValueError: the data is damaged or cut short, or a tensor has a dtype that is not supported.
    """
    return {name: tensor(as_single(array)) for name, array in stored_arrays(data).items()}


BFLOAT16 = np.dtype([("bits", "<u2")])  # the upper half of a float32, of which NumPy has no dtype
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"{kind}{bits}": np.dtype(f"<{kind.lower()}{bits // 8}") for kind in "IU" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BF16": BFLOAT16,
}


def stored_arrays(data: bytes | memoryview) -> dict[str, Array]:
    """Named arrays of a safetensors file as it stores them, sorted by name: views of the data, which is not read.

    Numbers of BF16 have the dtype :data:`BFLOAT16`.

    Raises:
        ValueError: the data is damaged or cut short, or an array has a dtype that is not supported.
    """
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(bytes(data[8:start]))
        header.pop("__metadata__", None)
        places = {name: _Stored(**described) for name, described in sorted(header.items())}
        end = start
        for begin, stop in sorted(place.data_offsets for place in places.values()):
            if start + begin != end or stop < begin:
                raise ValueError(f"expected data from byte {end - start}, got {begin} to {stop}")
            end = start + stop
        if end != len(data) or len(data) < 8:
            raise ValueError(f"expected {end} bytes, got {len(data)}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a complete safetensors file ({error})") from None
    return {name: place.view(name, data[start:]) for name, place in places.items()}


class _Stored(NamedTuple):
    """Description of an array in the header of a file."""

    dtype: str
    shape: list[int]
    data_offsets: list[int]

    def view(self, name: str, data: bytes | memoryview) -> Array:
        if self.dtype not in _DTYPES:
            raise ValueError(f"{name}: expected a dtype of {', '.join(_DTYPES)}, got {self.dtype:.80}")
        start, stop = self.data_offsets
        dtype = _DTYPES[self.dtype]
        if any(size < 0 for size in self.shape) or math.prod(self.shape) * dtype.itemsize != stop - start:
            raise ValueError(f"not a complete safetensors file ({name}: {stop - start} bytes of shape {self.shape})")
        return np.frombuffer(data[start:stop], dtype).reshape(self.shape)


def as_single(array: Array) -> Array:
    """Array with numbers of half precision, float16 and :data:`BFLOAT16`, as float32."""
    if array.dtype == BFLOAT16:
        halves = np.zeros((*array.shape, 2), "<u2")
        halves[..., 1] = array["bits"]
        return halves.view("<f4").reshape(array.shape).astype(np.float32, copy=False)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device, which may never end, is an error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a directory, a pipe, a device or a loop of links.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would block.
        descriptor = os.open(path, os.O_RDONLY | _flags("O_CLOEXEC", "O_BINARY", "O_NONBLOCK"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path}: expected a file, found a loop of links") from None
        if isinstance(error, NotADirectoryError):
            raise ValueError(f"{path.parent}: expected a directory, found a file") from None
        if path.is_dir():  # as Windows has it
            raise ValueError(f"{path}: expected a file, found a directory") from None
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):
            raise ValueError(f"{path}: expected a file, found a device or a socket") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kind = "a directory" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
    raise ValueError(f"{path}: expected a file, found {kind}")


def read_file(path: Path) -> bytes:
    """Read a regular file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a directory, a pipe, a device or a loop of links.
    """
    with open_file(path) as file:
        return file.read()


def map_file(path: Path) -> memoryview:
    """Map a regular file into memory: nothing is read before it is used, and what is written stays in memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a directory, a pipe, a device or a loop of links.
    """
    with open_file(path) as file:
        return mapped(file)


def mapped(file: BinaryIO) -> memoryview:
    """Map an open file into memory: see :func:`map_file`."""
    empty = not os.fstat(file.fileno()).st_size  # which has nothing to map
    return memoryview(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically: the old content stays until the new content is on disk.

    A file that was there keeps its permissions and its owner, and a symbolic link its place: what it points to is
    replaced. A new file has the permissions that the umask leaves. Temporary files of killed processes are removed.
    """
    named, path = path, Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{named.parent}: no such directory")
    before = path.lstat() if os.path.lexists(path) else None
    if before is not None and not stat.S_ISREG(before.st_mode):
        if not (stat.S_ISFIFO(before.st_mode) or stat.S_ISCHR(before.st_mode)):
            kind = "a directory" if path.is_dir() else "a loop of links" if path.is_symlink() else "a device"
            raise ValueError(f"{named}: expected a file to write, found {kind}")
        with open(path, "wb", buffering=0) as file:  # a terminal, a pipe: no old content to preserve
            write_whole(file, content, named)
        return
    temporary = path.with_name(f".{path.name}.pending")
    with _locked_temporary(temporary) as file:
        try:
            if before is not None:
                keep_access(file.fileno(), before)
            write_whole(file, content, named)
            with naming(named):
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_whole(file: BinaryIO | io.FileIO, content: bytes, path: Path) -> None:
    """Write all bytes to an unbuffered file, in several calls if need be; errors name the path."""
    rest = memoryview(content)
    with naming(path):
        while rest:
            rest = rest[file.write(rest) :]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the file's path to errors of the operating system, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def lock(descriptor: int, *, wait: bool = True) -> None:
    """Lock an open file or directory until it is closed or the process ends.

    Without effect where the system or the file system has no such locks.

    Raises:
        BlockingIOError: another process or file holds the lock, and ``wait`` is false.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if isinstance(error, BlockingIOError):
            raise
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def unlock(descriptor: int) -> None:
    """Unlock an open file or directory: closing it does not where a forked process has it open, too."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def _locked_temporary(temporary: Path) -> Iterator[io.FileIO]:
    """Create a locked file of this name; an unlocked one was left by a killed writer and is removed."""
    while True:
        try:
            created = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _flags("O_CLOEXEC", "O_BINARY"), 0o666)
        except FileExistsError:
            if temporary.is_symlink():
                temporary.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError), open_file(temporary) as left:
                lock(left.fileno())  # waits for a writer that is alive
                if _is_at(left.fileno(), temporary):
                    temporary.unlink()
            continue
        with os.fdopen(created, "wb", buffering=0) as file:
            lock(created)
            if _is_at(created, temporary):  # and was not taken for a killed writer's before it was locked
                try:
                    yield file
                finally:
                    unlock(created)
                return


def _is_at(descriptor: int, path: Path) -> bool:
    """True if an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def keep_access(descriptor: int, before: os.stat_result) -> None:
    """Copy owner and permissions of the replaced file to the new one, as far as the system allows."""
    if sys.platform == "win32":
        return
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _flags(*names: str) -> int:
    """Flags of ``os.open``, without those that the system lacks."""
    return reduce(or_, (getattr(os, name, 0) for name in names))
