"""Model directories: they load back to identical outputs, and damage is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.transformer.conftest import small
from transformer import Tokenizer, Transformer, from_pretrained, load_tokenizer


@pytest.fixture
def directory(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    Transformer(small(vocab_size=tokenizer.vocab_size)).save_pretrained(tmp_path / "model", tokenizer)
    return tmp_path / "model"


def test_a_model_directory_loads_back_to_identical_outputs(
    tokenizer: Tokenizer, tmp_path: Path, source: np.ndarray, target: np.ndarray
) -> None:
    model = Transformer(small(vocab_size=tokenizer.vocab_size, norm_first=True)).eval()
    model.save_pretrained(tmp_path, tokenizer)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    loaded, words = from_pretrained(tmp_path), load_tokenizer(tmp_path)
    np.testing.assert_array_equal(loaded(source, target).detach().numpy(), model(source, target).detach().numpy())
    assert words.to_json() == tokenizer.to_json()
    assert not loaded.training


def test_a_crash_while_saving_leaves_the_previous_model(
    directory: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (directory / "model.safetensors").read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        Transformer(small(vocab_size=tokenizer.vocab_size)).save_pretrained(directory, tokenizer)
    monkeypatch.undo()
    from_pretrained(directory)
    assert (directory / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_or_truncated_file_is_named(name: str, directory: Path) -> None:
    content = (directory / name).read_bytes()
    (directory / name).write_bytes(content[: len(content) // 2])
    load = load_tokenizer if name == "tokenizer.json" else from_pretrained
    with pytest.raises(ValueError, match=name):
        load(directory)
    (directory / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        load(directory)


def test_files_that_do_not_fit_together_are_named(directory: Path) -> None:
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"d_ff": 32', '"d_ff": 48'))
    with pytest.raises(
        ValueError, match=r"model.safetensors: state does not fit .*expand.weight: expected shape \(48, 16\)"
    ):
        from_pretrained(directory)
    config.write_text(config.read_text().replace('"vocab_size": 2', '"vocab_size": 12'))
    with pytest.raises(ValueError, match="vocab_size"):
        load_tokenizer(directory)


def test_a_tokenizer_that_does_not_fit_is_refused_before_anything_is_written(
    directory: Path, tokenizer: Tokenizer
) -> None:
    with pytest.raises(ValueError, match="vocab_size=400, the tokenizer"):
        Transformer(small(vocab_size=400)).save_pretrained(directory, tokenizer)
    load_tokenizer(directory)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such model directory"):
        from_pretrained(tmp_path / "nowhere")
