"""Serialization: tensors are read back to the bit, and files are replaced atomically."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import io


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io.replace_file(tmp_path / "a", b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        io.replace_file(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_an_error_of_the_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'a'}'"):
        io.replace_file(tmp_path / "a", b"new")


LIMITED = """
import resource, sys
from pathlib import Path
import minigrad as mg
from minigrad import io
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
io.replace_file(Path(sys.argv[1]), bytes(3000))
"""


def test_a_file_too_large_is_named_and_nothing_else_is_said(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits of POSIX systems")
    environment = {**os.environ, "PYTHONPATH": str(Path(io.__file__).parents[1])}
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "a")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr.count("Traceback") == 1 and "Exception ignored" not in done.stderr
    assert done.stderr.endswith(f"File too large: '{tmp_path / 'a'}'\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("mode", [None, 0o600, 0o640, 0o666, 0o755])
def test_saving_keeps_the_permissions_of_a_file_and_leaves_those_of_a_new_one_to_the_umask(
    umask: int, mode: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    if mode is not None:
        path.touch()
        path.chmod(mode)
    before = os.umask(umask)
    try:
        mg.save({"w": mg.ones(2)}, path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == (0o666 & ~umask if mode is None else mode)


def test_saving_through_a_symbolic_link_replaces_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    link.symlink_to("folder/target")
    for value in (1, 2):  # a link to a file that is not there yet, too
        mg.save({"w": mg.full(2, value)}, link)
        assert link.is_symlink() and mg.load(target)["w"].tolist() == [value, value]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "link", "target"]


def test_saving_to_a_device_leaves_it_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        io.replace_file(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_paths_that_are_not_files_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a pipe"), ("loop", "a loop of links"), ("folder", "a directory")):
        with pytest.raises(ValueError, match=f"{name}: expected a file, found {kind}"):
            mg.load(tmp_path / name)
    for name, kind in (("loop", "a loop of links"), ("folder", "a directory")):
        with pytest.raises(ValueError, match=f"{name}: expected a file to write, found {kind}"):
            mg.save({}, tmp_path / name)
    with pytest.raises(ValueError, match="null: expected a file, found a device"):
        mg.load("/dev/null")
    with pytest.raises(FileNotFoundError, match="nothing: no such file"):
        mg.load(tmp_path / "nothing")


def test_temporary_files_of_killed_writers_are_removed_and_those_of_running_ones_are_not(tmp_path: Path) -> None:
    path, temporary = tmp_path / "a", tmp_path / ".a.pending"
    temporary.write_bytes(b"left")
    temporary.chmod(0o600)
    io.replace_file(path, b"one")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"one")]
    assert path.stat().st_mode & 0o077
    with io._locked_temporary(temporary) as living:
        other = threading.Thread(target=io.replace_file, args=(path, b"two"))
        other.start()
        living.write(b"three")
        os.replace(temporary, path)
    other.join()  # it has waited
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"two")]


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".a.pending").symlink_to(tmp_path / "mine")
    io.replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / ".a.pending").exists()


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
