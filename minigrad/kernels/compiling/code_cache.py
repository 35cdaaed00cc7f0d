"""Code cache on disk, with a checksum in each entry: damaged code is compiled anew and never run.

For each kernel an index, from the types of its arguments to files, and a file for each of them. Both begin with the
SHA-256 of the rest. Numba's own cache unpickles and runs whatever it finds.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from numba.core.serialize import dumps

from minigrad.kernels.compiling.machine_code import MachineCode

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

DIGEST = 32  # bytes
CLAIMS = fcntl is not None  # whether one process can wait for another's code


class CodeCache:
    """A kernel's machine code in a folder, which may be read-only.

    Args:
        function: the kernel in Python.
        folder: for this build of all kernels; what is in it need not be compared with the sources.
        failed: told the error when something could not be written; the kernel goes on without.
    """

    def __init__(self, function: Callable[..., Any], folder: Path, failed: Callable[[OSError], None]) -> None:
        self._function, self._folder, self._failed = function, folder, failed
        name, line = f"{function.__module__}.{function.__qualname__}", function.__code__.co_firstlineno
        self._stem = f"{name}-{line}.py{sys.version_info[0]}{sys.version_info[1]}"

    def load(self, args: tuple[Any, ...]) -> MachineCode | None:
        """The code for these types; None where there is none, or it is damaged."""
        key = self._key(args)
        name = self._entries().get(key)
        found = None if name is None else _read(self._folder / name)
        # Another process may have given another key the same name.
        return MachineCode(*found[1]) if found is not None and found[0] == key else None

    def holds(self, args: tuple[Any, ...]) -> bool:
        """True if there is code for these types."""
        return self._key(args) in self._entries()

    @contextmanager
    def claim(self, args: tuple[Any, ...]) -> Iterator[None]:
        """Wait for a process that compiles this kernel, then keep others waiting, unless the code is there already."""
        with ExitStack() as held:
            if fcntl is not None and not self.holds(args):
                lock = self._folder / f".{self._stem}.claim"
                with suppress(OSError):  # the folder is read-only, or knows no locks
                    file = held.enter_context(open(lock, "w"))
                    held.callback(lock.unlink, missing_ok=True)
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def save(self, args: tuple[Any, ...], code: MachineCode) -> None:
        """Save the code for these types; a full disk is reported to ``failed``."""
        key = self._key(args)
        entries = self._entries()
        name = entries.get(key) or self._free_name(set(entries.values()))
        try:
            _write(self._folder / name, (key, tuple(code)))
            if key not in entries:
                _write(self._index, {**entries, key: name})
        except OSError as error:
            self._failed(OSError(error.errno, error.strerror, error.filename or str(self._folder)))

    def _key(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The types, and digests of what else distinguishes functions of one name: their code and their closure."""
        closure = tuple(cell.cell_contents for cell in self._function.__closure__ or ())
        parts = self._function.__code__.co_code, dumps(closure)  # type: ignore[no-untyped-call]
        return args, *(hashlib.sha256(part).digest() for part in parts)

    @property
    def _index(self) -> Path:
        return self._folder / f"{self._stem}.nbi"

    def _entries(self) -> dict[Any, str]:
        """The index: which file holds the code of each key."""
        return _read(self._index) or {}

    def _free_name(self, taken: set[str]) -> str:
        return next(name for n in range(1, len(taken) + 2) if (name := f"{self._stem}.{n}.nbc") not in taken)


def _read(path: Path) -> Any:
    """The value written to a file; None where it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = content[:DIGEST] == hashlib.sha256(content[DIGEST:]).digest()
    return pickle.loads(content[DIGEST:]) if whole else None


def _write(path: Path, value: Any) -> None:
    """Atomic write of a value behind its checksum, under a lock.

    The file beside it that is written first has one name, and its writer a lock on it: what a killed process left is
    written over, and of two processes that have compiled the same one keeps it.
    """
    body = dumps(value)  # type: ignore[no-untyped-call]
    temporary = path.with_name(f".{path.name}.pending")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    with open(descriptor, "wb", buffering=0) as file:
        if not _is_ours(descriptor, temporary):
            return
        try:
            file.truncate()
            rest = memoryview(hashlib.sha256(body).digest() + body)
            while rest:
                rest = rest[file.write(rest) :]
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _is_ours(descriptor: int, path: Path) -> bool:
    """Lock a file, unless another process writes it, or has just given it another name."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False
