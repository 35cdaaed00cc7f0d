"""Tensors to files and back, as safetensors: plain data that cannot run code when read.

Files are written beside their destination and renamed into place, so that a crash leaves what was there before.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minigrad.ops.creation import tensor
from minigrad.tensor import Array, Tensor, as_array

_PENDING = ".pending-"
_COMMIT = ".commit"


def save(tensors: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write named tensors to a safetensors file, replacing it only once the new one is complete.

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
    try:
        return from_bytes(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def to_bytes(tensors: Mapping[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    """Named tensors in the safetensors format, with remarks for other readers."""
    arrays = {name: as_array(value).copy(order="C") for name, value in tensors.items()}
    return bytes(safetensors.numpy.save(arrays, metadata))


def from_bytes(data: bytes) -> dict[str, Tensor]:
    """The named tensors of the safetensors format, in the order of their names. Half-precision floats (F16, BF16)
    become float32.

    Raises:
        ValueError: the data is damaged or cut short, or a tensor has a dtype that is not supported.
    """
    try:
        found = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ValueError(f"not a complete safetensors file ({error})") from None
    return {name: tensor(_array(name, **view)) for name, view in sorted(found, key=lambda item: item[0])}


_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits // 8}") for kind in "IU" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": np.dtype(f"f{bits // 8}") for bits in (16, 32, 64)},
    "BF16": np.dtype("u2"),  # the upper half of a float32
}


def _array(name: str, dtype: str, shape: list[int], data: bytes) -> Array:
    if dtype not in _DTYPES:
        raise ValueError(f"{name}: expected a dtype of {', '.join(_DTYPES)}, got {dtype}")
    array = np.frombuffer(data, _DTYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array.astype(np.float32) if dtype == "F16" else array


def replace_file(path: Path, content: bytes) -> None:
    """Write one file; what was there before stays until the new content is on disk."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path.parent}: no such directory") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def replace_files(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write several files of a directory that belong together: all of them change, or none.

    The new files are written under pending names first; then one commit file, renamed into place, decides; then they
    are renamed. A crash before the commit leaves the old files, a crash after it is completed by the next reader.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _roll_forward(directory)
    for name, content in contents.items():
        replace_file(directory / (_PENDING + name), content)
    replace_file(directory / _COMMIT, "\n".join(contents).encode())
    _roll_forward(directory)


def files_in(directory: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where to read files that :func:`replace_files` wrote, after a crash too, and in a read-only directory.

    Raises:
        ValueError: the directory's note of an unfinished change is damaged, or names files elsewhere.
    """
    try:
        _roll_forward(directory)
    except OSError:  # no permission, or a read-only file system
        pending = {name: directory / (_PENDING + name) for name in _committed(directory)}
        return {name: p if (p := pending.get(name, directory / name)).exists() else directory / name for name in names}
    return {name: directory / name for name in names}


def _roll_forward(directory: Path) -> None:
    """Complete a change that was committed but not carried out."""
    commit = directory / _COMMIT
    if commit.exists():
        for name in _committed(directory):
            pending = directory / (_PENDING + name)
            if pending.exists():
                os.replace(pending, directory / name)
        commit.unlink()


def _committed(directory: Path) -> list[str]:
    """The files of a change that was committed. The directory may be a stranger's: nothing outside of it is touched.

    Raises:
        ValueError: the commit file is damaged, or names something that is no file of this directory.
    """
    commit = directory / _COMMIT
    try:
        names = commit.read_text("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{commit}: not names of files ({error})") from None
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ValueError(f"{commit}: expected files of this directory, got {name!r:.80}")
    return names
