"""Files that belong together change together, whenever a crash comes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minigrad import io

NAMES = ("config", "weights")
OLD, NEW = ({name: f"{age} {name}".encode() for name in NAMES} for age in ("old", "new"))


def _read(directory: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in io.files_in(directory, NAMES).items()}


class Crash(BaseException):
    """The process stops here."""


@pytest.mark.parametrize("moment", range(6))
def test_a_crash_at_any_rename_leaves_all_old_or_all_new_files(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    io.replace_files(tmp_path, OLD)
    replace, count = os.replace, 0

    def crashing(source: str, target: str) -> None:
        nonlocal count
        if count == moment:
            raise Crash
        count += 1
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", crashing)
        if moment < 5:
            with pytest.raises(Crash):
                io.replace_files(tmp_path, NEW)
        else:
            io.replace_files(tmp_path, NEW)
    assert _read(tmp_path) == (OLD if moment < 3 else NEW)


def test_other_files_stay_and_nothing_is_left_over(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    io.replace_files(tmp_path, OLD)
    io.replace_files(tmp_path, NEW)
    assert _read(tmp_path) == NEW
    assert {path.name for path in tmp_path.iterdir()} == {*NAMES, "notes"}


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io.replace_file(tmp_path / "a", b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        io.replace_file(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such directory"):
        io.replace_file(tmp_path / "nowhere" / "a", b"")
