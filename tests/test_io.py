"""Files that belong together change together, whenever a crash comes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
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


@pytest.mark.parametrize("absolute", [True, False])
def test_a_directory_of_a_stranger_moves_no_file_to_another_place(absolute: bool, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.write_text("mine")
    theirs.mkdir()
    name = str(mine) if absolute else "../mine"
    planted = theirs / f".pending-{name}"
    planted.parent.mkdir(parents=True)
    planted.write_text("theirs")
    (theirs / ".commit").write_text(name)
    with pytest.raises(ValueError, match=r"\.commit: expected files of this directory, got '.*mine'"):
        io.files_in(theirs, NAMES)
    assert mine.read_text() == "mine"


def test_a_damaged_note_of_a_change_is_one_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / ".commit").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"\.commit: not names of files"):
        io.files_in(tmp_path, NAMES)


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


def _serialized(dtype: str, shape: tuple[int, ...], data: bytes) -> bytes:
    """A safetensors file with one tensor, written by hand."""
    header = json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_every_dtype_comes_back_as_it_was(rng: np.random.Generator) -> None:
    for dtype in (
        "bool",
        *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        "float32",
        "float64",
    ):
        for shape in ((2, 3), (), (0, 4)):
            array = rng.integers(0, 2, shape).astype(dtype)
            (loaded,) = io.from_bytes(io.to_bytes({"x": array})).values()
            assert loaded.dtype == dtype and loaded.shape == shape
            np.testing.assert_array_equal(loaded.numpy(), array)


def test_tensors_come_in_the_order_of_their_names_every_time() -> None:
    names = [f"layer.{number}" for number in range(9)]
    assert list(io.from_bytes(io.to_bytes({name: np.ones(1) for name in reversed(names)}))) == names


def test_half_precision_floats_are_read_as_float32() -> None:
    bits = np.array([[0x3F80, 0xC000, 0x7F80], [0x0001, 0x8000, 0x4049]], np.uint16)
    (loaded,) = io.from_bytes(_serialized("BF16", (2, 3), bits.tobytes())).values()
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded.numpy(), np.float32([[1, -2, np.inf], [2.0**-133, -0.0, 3.140625]]))
    (loaded,) = io.from_bytes(_serialized("F16", (2,), np.float16([0.1, -7]).tobytes())).values()
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded.numpy(), np.float16([0.1, -7]).astype(np.float32))


def test_a_dtype_that_numpy_has_not_is_named() -> None:
    with pytest.raises(ValueError, match=r"x: expected a dtype of BOOL, .*, got F8_E4M3"):
        io.from_bytes(_serialized("F8_E4M3", (2,), b"ab"))


def test_damaged_data_is_refused() -> None:
    whole = io.to_bytes({"x": np.ones(3)})
    for damaged in (b"", whole[:-1], b"\xff" * 8 + whole[8:], _serialized("F32", (2,), b"abc")):
        with pytest.raises(ValueError, match="not a complete safetensors file"):
            io.from_bytes(damaged)


@pytest.mark.peers
def test_bfloat16_files_of_torch_are_read_as_torch_reads_them(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    safetensors_torch = pytest.importorskip("safetensors.torch", reason="compares with PyTorch")
    for dtype in (torch.bfloat16, torch.float16):
        tensor = torch.from_numpy(rng.standard_normal((4, 5)) * 1e3).to(dtype)
        (loaded,) = io.from_bytes(safetensors_torch.save({"x": tensor})).values()
        np.testing.assert_array_equal(loaded.numpy(), tensor.float().numpy())
