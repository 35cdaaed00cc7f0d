"""Atomic directory snapshots: weights, tokenizer, checkpoint and log are replaced together or not at all.

``.commit.json`` names the files of the present snapshot, each with its size and SHA-256. A writer holds the
directory's lock, writes new files into ``.pending-ID/``, and decides by renaming a new commit into place; only then do
the files get their names. It may retain files of the snapshot before under second names, by hard links. A reader takes
no lock and moves nothing: it reads a file, pending or in place, and starts again if the commit has changed meanwhile.
What a killed writer left is finished, if it was committed, or cleared away by the next one.

Directories without a commit, of others or of earlier versions, are read as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from minigrad.io import keep_access, lock, mapped, naming, open_file, read_file, unlock, write_whole
from transformer.json_object import json_object

COMMIT, PENDING = ".commit.json", ".pending-"
NAMES = ".commit"  # of an earlier version: names of files with pending contents
LEFT = (PENDING, "..commit.", "..pending-")  # prefixes of temporary names, also of an earlier version
CHECKPOINT = "checkpoint"  # the only subfolder with members
NAME = rf"({CHECKPOINT}/)?[^./\\\0][^/\\\0]*"  # of a member
ATTEMPTS = 1000  # to read between two changes


class Member(NamedTuple):
    """Member of a snapshot: a file, or the prefix of a file that grows."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes | memoryview) -> Member:
        return cls(len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class Commit:
    """Commit: the list of a directory's files."""

    generation: str = ""  # its pending folder
    files: Mapping[str, Member] = field(default_factory=dict)
    removed: Mapping[str, Member] = field(default_factory=dict)  # files of the one before, if they are still there

    def to_bytes(self) -> bytes:
        body = {"generation": self.generation, "files": _listed(self.files), "removed": _listed(self.removed)}
        return (json.dumps({**body, "sha256": _digest(body)}, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Commit:
        """Parse the output of :meth:`to_bytes`. It is not trusted: no name may lead out of the directory.

        Raises:
            ValueError: it is damaged.
        """
        body = json_object(content.decode("utf-8"))
        if body.pop("sha256", None) != _digest(body):
            raise ValueError("damaged: its checksum is not that of its content")
        generation, tables = body.get("generation"), (body.get("files"), body.get("removed"))
        if not isinstance(generation, str) or not re.fullmatch("[0-9a-f]{1,64}", generation):
            raise ValueError(f"generation: expected hexadecimal digits, got {generation!r:.80}")
        return cls(generation, *map(_members, tables))


@dataclass(frozen=True)
class Snapshot:
    """Snapshot: consistent files of a directory."""

    directory: Path
    members: Mapping[str, Member]  # all of them; none where the directory was not written here
    contents: dict[str, Any]  # bytes, or a memoryview where they are mapped, of those that were asked for and are there

    def path(self, name: str) -> Path:
        """Path of a file."""
        return self.directory / name

    def text(self, name: str) -> str:
        """Content of a file as text."""
        return bytes(self.contents[name]).decode("utf-8")

    def has(self, name: str) -> bool:
        """True if a file exists, or was committed."""
        return name in self.contents or name in self.members

    def fault(self, name: str) -> str | None:
        """Error message for a requested file: None if it matches the commit, or there is no commit."""
        if name not in self.members or _is(self.members[name], self.contents.get(name)):
            return None
        found = "damaged, or changed by another program" if name in self.contents else "missing"
        return f"{found} since it was saved, according to {COMMIT}; without that file the directory is read as it is"


def read_snapshot(directory: Path, names: Iterable[str], mapping: tuple[str, ...] = ()) -> Snapshot:
    """Read files of a directory from one snapshot, while others may write to it.

    Args:
        directory: of the files.
        names: of the files.
        mapping: those of them that are mapped into memory, not read.

    Raises:
        ValueError: the commit is damaged, or something else than a file bears a name.
        TimeoutError: the directory changes faster than it can be read.
    """
    names = list(names)
    for _ in range(ATTEMPTS):
        content = _commit_content(directory)
        commit = _parsed(directory, content)
        with ExitStack() as stack:
            files: dict[str, BinaryIO] = {}
            for name in names:
                if (file := _opened(directory, name, commit)) is not None:
                    files[name] = stack.enter_context(file)
            # Files are replaced and never written to: an open file does not change.
            if _commit_content(directory) == content:
                contents = {name: mapped(file) if name in mapping else file.read() for name, file in files.items()}
                gone = {name for name, member in commit.removed.items() if _is(member, contents.get(name))}
                kept = {name: content for name, content in contents.items() if name not in gone}
                return Snapshot(directory, commit.files, kept)
    raise TimeoutError(f"{directory}: it is written to faster than it can be read")


def write_snapshot(
    directory: Path,
    contents: Iterable[tuple[str, bytes | None]],
    *,
    appended: Mapping[str, Member] | None = None,
    retained: Mapping[str, str] | None = None,
) -> None:
    """Replace files of a directory atomically. Other files of the previous snapshot remain part of it.

    Args:
        directory: created if missing. Blocks while another process writes to it.
        contents: names and contents, generated lazily, one at a time; None removes a file. A name may be that of a file
            in the checkpoint's folder: ``checkpoint/state.json``.
        appended: files that were appended to in their places, and how far they belong to this snapshot.
        retained: names for files of the previous snapshot that are replaced, by hard links, which write nothing: each
            with the name that the file had. Without effect unless all of them were part of that snapshot and are there.

    Raises:
        ValueError: the directory holds something else where a file or a folder is to be, such as a link to elsewhere.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        before = _settled(directory)
        pending = directory / (PENDING + (generation := secrets.token_hex(8)))
        try:
            files, gone = dict(before.files), dict[str, Member]()
            pending.mkdir()
            files |= _retain(directory, pending, before, retained or {})
            for name, content in contents:
                if content is None:
                    files.pop(name, None)
                    gone |= {name: member} if (member := _present(directory, name)) is not None else {}
                else:
                    _write(directory, pending, name, content)
                    files[name] = Member.of(content)
            commit = Commit(generation, {**files, **(appended or {})}, gone)
            _write(directory, pending, COMMIT, commit.to_bytes())
            for folder in (pending, *(path for path in pending.iterdir() if path.is_dir())):
                _sync(folder)
            os.replace(pending / COMMIT, directory / COMMIT)
            _sync(directory)
        finally:  # on the way to the end, or back
            try:
                _settled(directory)
            except KeyboardInterrupt:
                _settled(directory)
                raise


def settle(directory: Path) -> None:
    """Settle a directory: finish what a killed writer had committed, and clear away what it had not."""
    with _locked(directory):
        _settled(directory)


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Lock a directory for a training: others may still save models to it, but a second training may not start.

    Raises:
        BlockingIOError: another training, in this process or another one, holds it.
        ValueError: the folder of its checkpoint is not a directory, such as a link.
    """
    directory.mkdir(parents=True, exist_ok=True)
    folder = directory / CHECKPOINT
    with ExitStack() as stack:
        while True:
            _check_inside(directory, f"{CHECKPOINT}/{COMMIT}")
            folder.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # it was empty, and removed by a process that has ended
                held = stack.enter_context(ExitStack())
                try:
                    descriptor = held.enter_context(_locked(folder, wait=False))
                except BlockingIOError:
                    raise BlockingIOError(
                        f"{directory}: another training is writing to it; wait for its end, or choose another place"
                    ) from None
                if descriptor is None or os.path.samestat(os.fstat(descriptor), folder.lstat()):
                    break
                held.close()
        try:
            yield
        finally:
            with suppress(OSError):  # it is not empty, as a rule
                folder.rmdir()


@contextmanager
def _locked(directory: Path, *, wait: bool = True) -> Iterator[int | None]:
    """Lock a directory; without effect where the system cannot lock directories."""
    if os.name == "nt":
        yield None
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock(descriptor, wait=wait)
        try:
            yield descriptor
        finally:
            unlock(descriptor)
    finally:
        os.close(descriptor)


def _settled(directory: Path) -> Commit:
    """Recover the current commit: its files in their places, leftovers of killed writers removed. Needs the lock."""
    checkpoint = directory / CHECKPOINT
    folders = [directory, checkpoint] if _is_folder(checkpoint) else [directory]
    for folder in folders:
        for name in _names(folder):
            with suppress(FileNotFoundError):
                os.replace(folder / (PENDING + name), folder / name)
        (folder / NAMES).unlink(missing_ok=True)
    commit = _parsed(directory, _commit_content(directory))
    for left in [left for folder in folders for left in folder.iterdir() if left.name.startswith(LEFT)]:
        if not _is_folder(left):
            left.unlink()
            continue
        if left.name == PENDING + commit.generation:
            _finish(directory, left, commit)
        shutil.rmtree(left)
    return commit


def _finish(directory: Path, pending: Path, commit: Commit) -> None:
    """Finish a commit: rename its files into place."""
    for name in commit.files:
        _check_inside(pending, name)
        if os.path.lexists(pending / name):
            _check_inside(directory, name)
            (directory / name).parent.mkdir(exist_ok=True)
            os.replace(pending / name, directory / name)
    for name, member in commit.removed.items():
        _check_inside(directory, name)
        if _present(directory, name) == member:
            (directory / name).unlink()


def _write(directory: Path, pending: Path, name: str, content: bytes) -> None:
    """Write a pending file, with the permissions of the file that it replaces."""
    _check_inside(directory, name)
    path, temporary = directory / name, pending / name
    if _is_folder(path):
        raise ValueError(f"{path}: expected a file, found a directory")
    temporary.parent.mkdir(exist_ok=True)
    with open(temporary, "xb", buffering=0) as file:
        if path.is_file() and not path.is_symlink():
            keep_access(file.fileno(), path.lstat())
        write_whole(file, content, path)
        with naming(path):
            os.fsync(file.fileno())


def _retain(directory: Path, pending: Path, before: Commit, names: Mapping[str, str]) -> dict[str, Member]:
    """Give files of the commit before second names among the pending ones; all of them, or none."""
    if not all(old in before.files and not (directory / old).is_symlink() for old in names.values()):
        return {}
    for new, old in names.items():
        _check_inside(directory, old)
        _check_inside(directory, new)
        (pending / new).parent.mkdir(exist_ok=True)
        try:
            if not _are_same(directory / old, directory / new):  # a file that grows has both names already
                _link(directory / old, pending / new)
        except FileNotFoundError:  # another program removed it
            for made in names:
                (pending / made).unlink(missing_ok=True)
            return {}
    return {new: before.files[old] for new, old in names.items()}


def _are_same(path: Path, other: Path) -> bool:
    """True for two names of one file."""
    return os.path.lexists(other) and os.path.samestat(path.lstat(), other.lstat())


def _link(source: Path, target: Path) -> None:
    """Link a file under a second name, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        with open_file(source) as file, open(target, "xb") as copy, naming(source):
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fsync(copy.fileno())


def _check_inside(directory: Path, name: str) -> None:
    """Refuse symbolic links, which lead out of the directory.

    Raises:
        ValueError: where the folder of a file should be is something else.
    """
    folder = (directory / name).parent
    if folder != directory and os.path.lexists(folder) and not _is_folder(folder):
        found = "a symbolic link" if folder.is_symlink() else "a file"
        raise ValueError(f"{folder}: expected a directory, found {found}; nothing is written outside of {directory}")


def _is_folder(path: Path) -> bool:
    """True for a directory, False for a link to one."""
    return path.is_dir() and not path.is_symlink()


def _present(directory: Path, name: str) -> Member | None:
    try:
        return Member.of(read_file(directory / name))
    except FileNotFoundError:
        return None


def _opened(directory: Path, name: str, commit: Commit) -> BinaryIO | None:
    """Open a file of a snapshot, pending or in place."""
    path = directory / name
    places = [path]
    if name in commit.files:
        places.insert(0, directory / (PENDING + commit.generation) / name)
    if path.name in _names(path.parent):  # its existence means that an earlier version has written since
        places.insert(0, path.with_name(PENDING + path.name))
    for place in places:
        with suppress(FileNotFoundError):
            return open_file(place)
    return None


def _commit_content(directory: Path) -> bytes | None:
    try:
        return read_file(directory / COMMIT)
    except FileNotFoundError:
        return None


def _parsed(directory: Path, content: bytes | None) -> Commit:
    if content is None:
        return Commit()
    try:
        return Commit.from_bytes(content)
    except ValueError as error:
        raise ValueError(f"{directory / COMMIT}: {error}; without this file the directory is read as it is") from None


def _names(folder: Path) -> list[str]:
    """Files of an unfinished commit of an earlier version, usually none.

    Raises:
        ValueError: the list is damaged, or names something that is no file of this folder.
    """
    try:
        names = read_file(folder / NAMES).decode("utf-8").split("\n")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise ValueError(f"{folder / NAMES}: not names of files ({error})") from None
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"{folder / NAMES}: expected files of this directory, got {name!r:.80}")
    return names


def _members(table: Any) -> dict[str, Member]:
    if not isinstance(table, dict):
        raise ValueError(f"files: expected names and checksums, got {table!r:.80}")
    for name, value in table.items():
        if not re.fullmatch(NAME, name):
            raise ValueError(f"files: expected files of this directory, got {name!r:.80}")
        size, digest = (value.get("size"), value.get("sha256")) if isinstance(value, dict) else (None, None)
        if type(size) is not int or not isinstance(digest, str):
            raise ValueError(f"{name}: expected a size and a checksum, got {value!r:.80}")
    return {name: Member(value["size"], value["sha256"]) for name, value in table.items()}


def _is(member: Member, content: bytes | memoryview | None) -> bool:
    return content is not None and len(content) == member.size and Member.of(content) == member


def _listed(files: Mapping[str, Member]) -> dict[str, Any]:
    return {name: member._asdict() for name, member in files.items()}


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sync(folder: Path) -> None:
    """Sync a folder's names to disk, where the system supports it."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with naming(folder):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
