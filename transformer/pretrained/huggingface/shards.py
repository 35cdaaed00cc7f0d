"""Weight shards: the weights of a model directory, in one file or in several with an index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.io import map_file, stored_arrays
from transformer.json_object import json_object

Arrays = dict[str, np.ndarray[Any, Any]]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def read_weights(directory: Path, contents: Mapping[str, bytes | memoryview]) -> Arrays:
    """Read the weights of ``model.safetensors``, or of the files that ``model.safetensors.index.json`` names.

    Where both are there, the index is of an earlier model.

    Args:
        directory: the directory of the files that the index names.
        contents: of these two files, if they are there.

    Raises:
        FileNotFoundError: there are no weights, or a part of them is missing.
        ValueError: a file is damaged, or the index names one in another directory.
    """
    if WEIGHTS in contents:
        return _arrays(directory / WEIGHTS, contents[WEIGHTS])
    if INDEX in contents:
        return _read_shards(directory / INDEX, contents[INDEX])
    for name in PICKLES:
        if (directory / name).exists():
            raise FileNotFoundError(
                f"{directory}: {WEIGHTS} is missing; {name} is a pickle, which can run any code and is never read: "
                f"convert it to safetensors"
            )
    raise FileNotFoundError(f"{directory}: not a model directory, {WEIGHTS} is missing")


def _read_shards(index: Path, content: bytes | memoryview) -> Arrays:
    files = _parts(index, bytes(content))
    arrays: Arrays = {}
    for file in sorted(set(files.values())):
        shard = index.parent / file
        try:
            stored = map_file(shard)
        except FileNotFoundError:
            raise FileNotFoundError(f"{index.parent}: {file} is missing, which {index.name} names") from None
        arrays |= {name: array for name, array in _arrays(shard, stored).items() if files.get(name) == file}
    if missing := sorted(files.keys() - arrays.keys()):
        raise ValueError(f"{index}: {files[missing[0]]} has no array {missing[0]}")
    return arrays


def _parts(index: Path, content: bytes) -> dict[str, str]:
    """File of each array."""
    try:
        files = json_object(content.decode("utf-8")).get("weight_map")
        if not isinstance(files, dict):
            raise ValueError(f"weight_map: expected names of arrays and files, got {files!r:.80}")
        for file in files.values():
            if not isinstance(file, str) or file in ("", ".", "..") or "/" in file or "\\" in file or "\0" in file:
                raise ValueError(f"weight_map: expected files of this directory, got {file!r:.80}")
    except ValueError as error:
        raise ValueError(f"{index}: {error}") from None
    return files


def _arrays(path: Path, content: bytes | memoryview) -> Arrays:
    try:
        return stored_arrays(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
