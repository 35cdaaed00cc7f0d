"""Weight shards are read as one; damaged and malicious files are one clear error, before memory is allocated."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from transformer import CausalLM, TransformerConfig, from_pretrained
from transformer.pretrained.huggingface import INDEX, WEIGHTS, read_weights

CONFIG = TransformerConfig.preset("nano", vocab_size=20, d_model=8, num_heads=2, d_ff=16, decoder_layers=2)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model in two shards."""
    CausalLM(CONFIG).save_pretrained(tmp_path)
    arrays = {name: tensor.numpy() for name, tensor in mg.load(tmp_path / WEIGHTS).items()}
    names = sorted(arrays)
    places = {name: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        mg.save({name: arrays[name] for name in names if places[name] == file}, tmp_path / file)
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    (tmp_path / WEIGHTS).rename(tmp_path / "whole.safetensors")
    return tmp_path


def places(directory: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((directory / INDEX).read_text())["weight_map"]
    return found


def write_index(directory: Path, document: Any) -> None:
    (directory / INDEX).write_text(json.dumps(document))


def test_shards_together_are_the_whole(directory: Path) -> None:
    whole = mg.load(directory / "whole.safetensors")
    found = read_weights(directory, {INDEX: (directory / INDEX).read_bytes()})
    assert found.keys() == whole.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, whole[name].numpy())
    from_pretrained(directory)


def test_shards_of_an_earlier_model_are_not_picked_up(directory: Path) -> None:
    model = CausalLM(CONFIG)
    model.save_pretrained(directory)
    found = from_pretrained(directory).state_dict()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(found[name].numpy(), value.numpy())


@pytest.mark.parametrize("file", ["../stolen.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", "a\\b", 7, None])
def test_an_index_that_points_out_of_the_directory_is_refused(file: Any, directory: Path) -> None:
    (directory / "whole.safetensors").rename(directory.parent / "stolen.safetensors")
    write_index(directory, {"weight_map": {**places(directory), "transformer.wte.weight": file}})
    with pytest.raises(ValueError, match=f"{INDEX}: weight_map: expected files of this directory, got "):
        from_pretrained(directory)


@pytest.mark.parametrize("document", [{}, {"weight_map": []}, {"weight_map": "x"}, []])
def test_an_index_of_the_wrong_form_is_refused(document: Any, directory: Path) -> None:
    write_index(directory, document)
    with pytest.raises(ValueError, match=f"{INDEX}: (weight_map: expected names|expected a JSON object)"):
        from_pretrained(directory)


def test_a_missing_shard_and_a_missing_array_are_named(directory: Path) -> None:
    write_index(directory, {"weight_map": {**places(directory), "extra": "model-00001-of-00002.safetensors"}})
    with pytest.raises(ValueError, match=r"model-00001-of-00002.safetensors has no array extra"):
        from_pretrained(directory)
    (directory / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-00002.safetensors is missing"):
        from_pretrained(directory)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_a_pickle_is_never_read(name: str, directory: Path) -> None:
    (directory / INDEX).rename(directory / name)
    with pytest.raises(FileNotFoundError, match=f"{name} is a pickle, .* never read: convert it to safetensors"):
        from_pretrained(directory)


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def floats(shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\x00",
        safetensors({}, length=2**62),
        safetensors({"a": floats([2], 0, 8)}, bytes(8), length=4000),
        safetensors(b"[" * 100_000),
        safetensors(b"{'a': 1}"),
        safetensors({"a": 3}),
        safetensors({"a": floats([2], 0, 8), "b": floats([2], 4, 12)}, bytes(12)),
        safetensors({"a": floats([2], 0, 8)}, bytes(4)),
        safetensors({"a": floats([2**40, 2**40], 0, 8)}, bytes(8)),
        safetensors({"a": floats([2**40], 0, 2**42)}, bytes(8)),
        safetensors({"a": floats([-2], 0, 8)}, bytes(8)),
        safetensors({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    ],
    ids=[
        *(
            "empty",
            "cut short",
            "header beyond the file",
            "header into the data",
            "deep nesting",
            "no JSON",
            "no entry",
        ),
        *("overlap", "data missing", "shape overflow", "absurd shape", "negative shape", "unknown dtype"),
    ],
)
def test_hostile_weights_are_one_clear_error(content: bytes, directory: Path) -> None:
    (directory / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=f"{WEIGHTS}: (not a complete safetensors file|a: expected a dtype)"):
        from_pretrained(directory)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_layer": 10**9}, "describes 1,000,000,000 layers, the weights are "),
        ({"n_embd": 10**7, "n_head": 1, "n_inner": 1}, "describes a model of at least "),
        ({"n_inner": 10**9}, "describes a model of at least "),
        ({"vocab_size": 10**9}, "describes a model of at least "),
        ({"n_positions": 10**9}, "describes a model of at least "),
    ],
)
def test_a_configuration_far_larger_than_its_weights_is_refused_before_room_is_taken(
    settings: dict[str, Any], message: str, directory: Path
) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **settings}))
    with pytest.raises(ValueError, match=f"{INDEX}: config.json {message}"):
        from_pretrained(directory)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_is_read_as_float32(dtype: str, directory: Path) -> None:
    weights = {name: tensor.numpy() for name, tensor in mg.load(directory / "whole.safetensors").items()}
    header, data = {}, b""
    for name, array in weights.items():
        half = array.astype(np.float16) if dtype == "F16" else (array.view(np.uint32) >> 16).astype(np.uint16)
        header[name] = {**floats(list(array.shape), len(data), len(data) + half.nbytes), "dtype": dtype}
        data += half.tobytes()
    (directory / WEIGHTS).write_bytes(safetensors(header, data))
    expected = from_pretrained(directory).decoder.tokens.weight  # type: ignore[union-attr]
    assert expected.dtype == mg.float32
    np.testing.assert_allclose(
        expected.detach().numpy(), weights["transformer.wte.weight"], rtol=1e-2 if dtype == "BF16" else 1e-3, atol=1e-6
    )
