"""Atomic snapshots: with concurrent readers, killed writers, and disk errors."""

from __future__ import annotations

import builtins
import errno
import hashlib
import itertools
import json
import linecache
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from transformer.pretrained import snapshot
from transformer.pretrained.snapshot import COMMIT, Member, exclusive, read_snapshot, settle, write_snapshot

NAMES = ("config", "weights", "checkpoint/state")
OLD, NEW, LAST = ({name: f"{age} {name}".encode() for name in NAMES} for age in ("old", "new", "last"))


def _write(directory: Path, contents: Mapping[str, bytes | None]) -> None:
    write_snapshot(directory, contents.items())


def _read(directory: Path, names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    found = read_snapshot(directory, names)
    assert not any(found.fault(name) for name in names)
    return dict(found.contents)


def _files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir() or path.is_symlink()}


class Kill(BaseException):
    """Simulated kill of the process."""


CHANGES = (
    *((os, name) for name in ("replace", "fsync", "link", "unlink", "rmdir", "mkdir")),
    (builtins, "open"),
)


def _kill_at(moment: int, patch: pytest.MonkeyPatch) -> None:
    """Have no change of the disk happen after so many of them."""
    count = itertools.count()

    def killed(change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any, **options: Any) -> Any:
            if next(count) >= moment:
                raise Kill
            return change(*arguments, **options)

        return changing

    for module, name in CHANGES:
        patch.setattr(module, name, killed(getattr(module, name)))


def _moments(run: Callable[[int], bool]) -> int:
    """Run something that stops at each of its moments in turn, until it does not; returns how many there were."""
    return next(moment for moment in itertools.count() if not run(moment))


def test_a_writer_killed_at_any_moment_leaves_one_whole_snapshot_and_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def run(moment: int) -> bool:
        directory = tmp_path / str(moment)
        _write(directory, OLD)
        (directory / "notes").write_text("mine")
        with monkeypatch.context() as patched:
            _kill_at(moment, patched)
            try:
                _write(directory, NEW)
                killed = False
            except Kill:
                killed = True
        before = _files(directory)
        found.append(_read(directory))
        assert found[-1] in (OLD, NEW)
        assert _files(directory) == before  # reading moves nothing
        _write(directory, {"config": b"last config"})
        assert _read(directory) == {**found[-1], "config": b"last config"}
        assert _files(directory) == {*NAMES, "notes", COMMIT}
        return killed

    assert _moments(run) > 15
    decided = found.index(NEW)
    assert found == [OLD] * decided + [NEW] * (len(found) - decided)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file closed by its finalizer
def test_ctrl_c_at_any_line_leaves_one_whole_snapshot_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # which takes longest

    def run(moment: int) -> bool:
        directory = tmp_path / str(moment)
        _write(directory, OLD)
        count = itertools.count()

        def interrupting(frame: Any, event: str, argument: Any) -> Any:
            if frame.f_code.co_filename != snapshot.__file__:
                return None
            line = linecache.getline(snapshot.__file__, frame.f_lineno).strip()
            if event == "line" and line != "try:" and next(count) == moment:  # which does nothing, and takes no time
                raise KeyboardInterrupt
            return interrupting

        tracing = sys.gettrace()
        sys.settrace(interrupting)
        try:
            _write(directory, NEW)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(tracing)
        assert _read(directory) in (OLD, NEW)
        assert _files(directory) <= {*NAMES, COMMIT}
        shutil.rmtree(directory)
        return interrupted

    assert _moments(run) > 50


def test_a_reader_between_any_two_steps_of_a_writer_sees_one_whole_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, OLD)
    seen = []

    def watched(change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any, **options: Any) -> Any:
            result = change(*arguments, **options)
            seen.append(_read(tmp_path))
            return result

        return changing

    with monkeypatch.context() as patched:
        for name in ("replace", "mkdir", "rmdir", "unlink", "fsync"):
            patched.setattr(os, name, watched(getattr(os, name)))
        _write(tmp_path, NEW)
    decided = seen.index(NEW)
    assert decided > 0 and seen == [OLD] * decided + [NEW] * (len(seen) - decided)


@pytest.mark.parametrize("moment", range(3))
def test_a_writer_between_any_two_files_of_a_reader_gives_it_one_whole_snapshot(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, OLD)
    opened, count = snapshot._opened, itertools.count()

    def opening(*arguments: Any) -> Any:
        if next(count) == moment:
            _write(tmp_path, NEW)
        return opened(*arguments)

    monkeypatch.setattr(snapshot, "_opened", opening)
    assert _read(tmp_path) == NEW


def test_a_directory_that_never_stands_still_is_an_error_and_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, OLD)
    opened = snapshot._opened

    def opening(*arguments: Any) -> Any:
        _write(tmp_path, NEW)
        return opened(*arguments)

    monkeypatch.setattr(snapshot, "ATTEMPTS", 3)
    monkeypatch.setattr(snapshot, "_opened", opening)
    with pytest.raises(TimeoutError, match="written to faster than it can be read"):
        read_snapshot(tmp_path, NAMES)


def test_a_full_disk_leaves_the_old_snapshot_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, OLD)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'config'}'"):
            _write(tmp_path, NEW)
    assert _read(tmp_path) == OLD and _files(tmp_path) == {*NAMES, COMMIT}


def test_an_error_of_what_makes_the_contents_leaves_the_old_snapshot(tmp_path: Path) -> None:
    _write(tmp_path, OLD)

    def contents() -> Iterator[tuple[str, bytes | None]]:
        yield "config", b"new"
        raise MemoryError

    with pytest.raises(MemoryError):
        write_snapshot(tmp_path, contents())
    assert _read(tmp_path) == OLD and _files(tmp_path) == {*NAMES, COMMIT}


def test_a_snapshot_keeps_what_it_does_not_replace_and_loses_what_is_removed(tmp_path: Path) -> None:
    _write(tmp_path, OLD)
    _write(tmp_path, {"config": b"new", "checkpoint/state": None, "nothing": None})
    assert _read(tmp_path) == {"config": b"new", "weights": OLD["weights"]}
    assert _files(tmp_path) == {"config", "weights", COMMIT}
    (tmp_path / "checkpoint" / "state").write_bytes(b"mine")  # later, and of somebody else
    assert _read(tmp_path)["checkpoint/state"] == b"mine"


def test_a_removed_file_is_none_of_a_snapshot_though_its_writer_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, OLD)
    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "_finish", lambda *arguments: (_ for _ in ()).throw(Kill()))
        with pytest.raises(Kill):
            _write(tmp_path, {"config": b"new", "weights": None})
    assert (tmp_path / "weights").exists()
    assert _read(tmp_path) == {"config": b"new", "checkpoint/state": OLD["checkpoint/state"]}


def test_damage_is_reported_by_name_and_other_files_are_ignored(tmp_path: Path) -> None:
    _write(tmp_path, OLD)
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "config").write_bytes(b"oLd config")
    (tmp_path / "checkpoint" / "state").unlink()
    found = read_snapshot(tmp_path, (*NAMES, "other"))
    assert (found.fault("config") or "").startswith("damaged, or changed")
    assert (found.fault("checkpoint/state") or "").startswith("missing")
    assert found.fault("weights") is found.fault("other") is None


def test_any_damage_of_a_commit_is_an_error_that_names_it(tmp_path: Path) -> None:
    _write(tmp_path, OLD)
    commit = tmp_path / COMMIT
    whole = commit.read_bytes()
    for at in range(0, len(whole), 7):
        for damaged in (whole[:at], bytes([*whole[:at], whole[at] ^ 2, *whole[at + 1 :]])):
            commit.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"\.commit\.json: "):
                read_snapshot(tmp_path, NAMES)
    commit.unlink()
    assert dict(read_snapshot(tmp_path, NAMES).contents) == OLD  # as a directory of others


@pytest.mark.parametrize("name", ["../mine", "/mine", "checkpoint/../../mine", "other/mine", ".mine", "", "a\\b"])
def test_an_untrusted_commit_names_nothing_outside_of_its_directory(name: str, tmp_path: Path) -> None:
    body = {"generation": "0", "files": {name: {"size": 0, "sha256": ""}}, "removed": {}}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (tmp_path / COMMIT).write_text(json.dumps({**body, "sha256": digest}))
    with pytest.raises(ValueError, match=r"commit\.json: files: expected files of this directory"):
        read_snapshot(tmp_path, ["config"])
    with pytest.raises(ValueError, match=r"commit\.json: files: expected files of this directory"):
        _write(tmp_path, OLD)


def test_links_of_an_untrusted_directory_lead_no_file_out_of_it(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    for name in ("state", "config"):
        (mine / name).write_text("mine")
    (theirs / "checkpoint").symlink_to(mine)
    with pytest.raises(ValueError, match="checkpoint: expected a directory, found a symbolic link; nothing is written"):
        _write(theirs, OLD)
    (theirs / "checkpoint").unlink()
    (theirs / "config").symlink_to(mine / "config")
    (theirs / ".pending-0").symlink_to(mine)
    body = {"generation": "0", "files": {"state": Member.of(b"mine")._asdict()}, "removed": {}}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (theirs / COMMIT).write_text(json.dumps({**body, "sha256": digest}))
    _write(theirs, OLD)
    assert _read(theirs) == OLD and _files(theirs) == {*NAMES, COMMIT}
    assert {path.name: path.read_text() for path in mine.iterdir()} == {"state": "mine", "config": "mine"}


def test_paths_that_are_not_files_are_named_without_blocking(tmp_path: Path) -> None:
    _write(tmp_path, OLD)
    weights = tmp_path / "weights"
    weights.unlink()
    weights.mkdir()
    with pytest.raises(ValueError, match="weights: expected a file, found a directory"):
        read_snapshot(tmp_path, NAMES)
    with pytest.raises(ValueError, match="weights: expected a file, found a directory"):
        _write(tmp_path, NEW)
    weights.rmdir()
    weights.symlink_to(weights)
    with pytest.raises(ValueError, match="weights: expected a file, found a loop of links"):
        read_snapshot(tmp_path, NAMES)
    weights.unlink()
    for name in (COMMIT, ".commit", "weights"):
        kept = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None
        (tmp_path / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match=f"{name}: expected a file, found a pipe"):
            read_snapshot(tmp_path, NAMES)
        (tmp_path / name).unlink()
        if kept is not None:
            (tmp_path / name).write_bytes(kept)


def test_a_file_keeps_its_permissions_and_a_new_one_has_those_of_the_umask(tmp_path: Path) -> None:
    _write(tmp_path, OLD)
    (tmp_path / "weights").chmod(0o640)
    before = os.umask(0o077)
    try:
        _write(tmp_path, {**NEW, "more": b"more"})
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "more").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_written_to_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, OLD)
    _kill_at(0, monkeypatch)
    assert _read(tmp_path) == OLD


# Files of the snapshot before, under further names.

RETAINED = {"former": "config", "checkpoint/former": "checkpoint/state"}
FORMER = {"former": OLD["config"], "checkpoint/former": OLD["checkpoint/state"]}


@pytest.mark.parametrize("links", [True, False], ids=["", "without hard links"])
def test_a_writer_killed_at_any_moment_retains_all_files_of_the_snapshot_before_or_none(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def run(moment: int) -> bool:
        directory = tmp_path / str(moment)
        _write(directory, LAST)
        write_snapshot(directory, OLD.items(), retained=RETAINED)
        with monkeypatch.context() as patched:
            if not links:
                patched.setattr(os, "link", refuse)
            _kill_at(moment, patched)
            try:
                write_snapshot(directory, NEW.items(), retained=RETAINED)
                killed = False
            except Kill:
                killed = True
        found = _read(directory, (*NAMES, *RETAINED))
        last = {new: LAST[old] for new, old in RETAINED.items()}
        assert found in ({**OLD, **last}, {**NEW, **FORMER})
        settle(directory)
        assert _read(directory, (*NAMES, *RETAINED)) == found
        assert _files(directory) == {*NAMES, *RETAINED, COMMIT}
        return killed

    assert _moments(run) > 15


def test_retained_files_are_not_written_again(tmp_path: Path) -> None:
    _write(tmp_path, OLD)
    number = (tmp_path / "config").stat().st_ino
    write_snapshot(tmp_path, NEW.items(), retained=RETAINED)
    assert (tmp_path / "former").stat().st_ino == number
    assert _read(tmp_path, (*NAMES, *RETAINED)) == {**NEW, **FORMER}


def test_a_retained_file_that_grows_keeps_both_names(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content := b"")
    for line in (b"one\n", b"two\n", b"three\n"):
        before, content = content, content + line
        with open(tmp_path / "log", "ab") as log:
            log.write(line)
        write_snapshot(tmp_path, (), appended={"log": Member.of(content)}, retained={"former": "log"})
        assert _files(tmp_path) == {"log", COMMIT, *(["former"] if before else [])}
    members = read_snapshot(tmp_path, ()).members
    assert members == {"log": Member.of(content), "former": Member.of(before)}
    assert os.path.samefile(tmp_path / "log", tmp_path / "former")


@pytest.mark.parametrize("lost", ["file", "commit", "link"])
def test_files_are_retained_together_or_not_at_all(lost: str, tmp_path: Path) -> None:
    _write(tmp_path, LAST)
    write_snapshot(tmp_path, OLD.items(), retained=RETAINED)
    path = tmp_path / (COMMIT if lost == "commit" else "checkpoint/state")
    path.unlink()
    if lost == "link":
        path.symlink_to(tmp_path / "weights")
    write_snapshot(tmp_path, NEW.items(), retained=RETAINED)
    found = _read(tmp_path, (*NAMES, *RETAINED))
    assert found == {**NEW, "former": LAST["config"], "checkpoint/former": LAST["checkpoint/state"]}
    assert _files(tmp_path) == {*NAMES, *RETAINED, COMMIT}


# Directories of earlier versions: pending files with their names behind a prefix, and a list of names that decides.


def _half_written(directory: Path) -> None:
    """A directory whose new files were committed by an earlier version, which was killed when one had its name."""
    for name, content in OLD.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(content)
    (directory / ".commit").write_text("config\nweights")
    (directory / ".pending-config").write_bytes(NEW["config"])
    (directory / "weights").write_bytes(NEW["weights"])
    (directory / "checkpoint" / ".commit").write_text("state")
    (directory / "checkpoint" / ".pending-state").write_bytes(NEW["checkpoint/state"])
    for left in ("..commit.1a2b", "..pending-weights.3c4d"):
        (directory / left).touch()


def test_a_commit_of_an_earlier_version_is_read_and_finished_by_the_next_writer(tmp_path: Path) -> None:
    _half_written(tmp_path)
    before = _files(tmp_path)
    assert _read(tmp_path) == NEW
    assert _files(tmp_path) == before
    _write(tmp_path, {"more": b"more"})
    assert _read(tmp_path) == NEW
    assert _files(tmp_path) == {*NAMES, "more", COMMIT}


def test_uncommitted_files_of_an_earlier_version_are_not_read_and_are_removed(tmp_path: Path) -> None:
    _half_written(tmp_path)
    (tmp_path / ".commit").unlink()
    assert _read(tmp_path)["config"] == OLD["config"]
    _write(tmp_path, {"more": b"more"})
    assert _read(tmp_path)["config"] == OLD["config"]
    assert _files(tmp_path) == {*NAMES, "more", COMMIT}


@pytest.mark.parametrize("absolute", [True, False])
def test_an_untrusted_list_of_an_earlier_version_moves_no_file(absolute: bool, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.write_text("mine")
    theirs.mkdir()
    name = str(mine) if absolute else "../mine"
    planted = theirs / f".pending-{name}"
    planted.parent.mkdir(parents=True)
    planted.write_text("theirs")
    (theirs / ".commit").write_text(name)
    for use in (lambda: read_snapshot(theirs, NAMES), lambda: _write(theirs, OLD)):
        with pytest.raises(ValueError, match=r"\.commit: expected files of this directory, got '.*mine'"):
            use()
    assert mine.read_text() == "mine"


def test_a_damaged_list_of_an_earlier_version_is_one_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / ".commit").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"\.commit: not names of files"):
        read_snapshot(tmp_path, NAMES)


def test_one_training_at_a_time_and_models_may_be_saved_meanwhile(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        with pytest.raises(BlockingIOError, match="another training is writing to it"), exclusive(tmp_path):
            pass
        _write(tmp_path, OLD)
    with exclusive(tmp_path):
        assert _read(tmp_path) == OLD


def test_holding_an_empty_directory_leaves_nothing_in_it(tmp_path: Path) -> None:
    with exclusive(tmp_path / "new"):
        pass
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="of POSIX systems")
def test_a_process_that_was_forked_meanwhile_holds_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with exclusive(tmp_path):
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)  # until the test has ended
            os._exit(0)
    try:
        with exclusive(tmp_path):
            pass
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)
