"""Model directories: identical outputs after loading, and errors that name damage."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import load, no_grad, save
from tests.transformer.conftest import small
from transformer import (
    CausalLM,
    Encoder,
    GenerationConfig,
    MaskedLM,
    Tokenizer,
    Transformer,
    TransformerConfig,
    from_pretrained,
    load_tokenizer,
)
from transformer.data.tokenizer import MASK, SPECIAL
from transformer.pretrained import loading


@pytest.fixture
def directory(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    Transformer(small(vocab_size=tokenizer.vocab_size)).save_pretrained(tmp_path / "model", tokenizer)
    return tmp_path / "model"


def test_a_model_directory_loads_back_to_identical_outputs(
    tokenizer: Tokenizer, tmp_path: Path, source: np.ndarray, target: np.ndarray
) -> None:
    model = Transformer(small(vocab_size=tokenizer.vocab_size, norm_first=True)).eval()
    model.save_pretrained(tmp_path, tokenizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".commit.json",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
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
    config.write_text(re.sub('"vocab_size": [0-9]+', '"vocab_size": 200', config.read_text()))
    with pytest.raises(ValueError, match=r"the model has vocab_size=200, the tokenizer 2[0-9][0-9] tokens"):
        load_tokenizer(directory)


def test_a_tokenizer_that_does_not_fit_is_refused_before_anything_is_written(
    directory: Path, tokenizer: Tokenizer
) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(ValueError, match="vocab_size=200, the tokenizer"):
        Transformer(small(vocab_size=200)).save_pretrained(directory, tokenizer)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such model directory"):
        from_pretrained(tmp_path / "nowhere")


GPT2 = TransformerConfig.preset("nano", vocab_size=300, d_model=16, num_heads=2, d_ff=32, decoder_layers=1)
BERT = TransformerConfig.preset("bert-base", vocab_size=300, d_model=16, num_heads=2, d_ff=32, encoder_layers=1)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", "[" * 100_000, '{"model_type": "gpt2"', '{"d_ff": ' + "9" * 5000 + "}", "\x00"],
    ids=["empty", "cut short", "a list", "a number", "deep nesting", "unclosed", "a huge number", "no text"],
)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"])
def test_json_that_is_damaged_or_hostile_is_one_clear_error(name: str, content: str, directory: Path) -> None:
    (directory / name).write_text(content)
    load = load_tokenizer if name.startswith("tokenizer") else from_pretrained
    with pytest.raises(ValueError, match=f"{name}: "):
        load(directory)


def test_text_that_is_no_utf8_is_named(directory: Path) -> None:
    (directory / "config.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=r"config.json: "):
        from_pretrained(directory)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "mamba"}, "model_type: expected one of transformer, gpt2, .*, umt5, got 'mamba'"),
        ({"model_type": ["gpt2"]}, r"model_type: expected one of .*, got \['gpt2'\]"),
        ({"model_type": None}, "model_type: expected one of .*, got None"),
        ({"architectures": ["Perceptron"]}, r"architectures: expected one of .*, got \['Perceptron'\]"),
        ({"architectures": 3}, "architectures: expected one of .*, got 3"),
        ({"architectures": [[]]}, "architectures: expected one of "),
        ({"model_type": "bert"}, "architectures: expected one of BertForMaskedLM, .*, got "),
        ({"d_ff": "wide"}, "d_ff: expected an integer, got 'wide'"),
        ({"width": 3}, "unknown setting 'width'"),
    ],
)
def test_a_configuration_of_the_wrong_kind_names_what_is_allowed(
    settings: dict[str, Any], message: str, directory: Path
) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    with pytest.raises(ValueError, match=f"config.json: {message}"):
        from_pretrained(directory)


def test_a_model_without_a_class_in_its_configuration_is_the_families_usual_one(tmp_path: Path) -> None:
    CausalLM(GPT2).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": None}))
    assert isinstance(from_pretrained(tmp_path), CausalLM)


@pytest.mark.parametrize("config", [GPT2, small(encoder_layers=0, activation="swiglu")], ids=["gpt2", "own format"])
def test_generation_settings_are_saved(config: TransformerConfig, tmp_path: Path) -> None:
    model = CausalLM(config)
    model.generation = GenerationConfig(num_beams=3, repetition_penalty=1.2, max_new_tokens=5)
    model.save_pretrained(tmp_path)
    again = from_pretrained(tmp_path)
    assert isinstance(again, CausalLM)
    assert (again.generation.num_beams, again.generation.repetition_penalty) == (3, 1.2)
    prompt = np.array([[5, 6, 7]])
    assert again.generate(prompt) == model.generate(prompt)


def test_a_directory_without_generation_config_says_how_to_write_in_its_configuration(tmp_path: Path) -> None:
    CausalLM(GPT2).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_beams": 4, "length_penalty": 2.0}))
    model = from_pretrained(tmp_path)
    assert model.generation == GenerationConfig(num_beams=4, length_penalty=2.0, early_stopping=False)


def test_lengths_beyond_the_models_positions_are_those_of_the_model(tmp_path: Path) -> None:
    CausalLM(GPT2).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"max_length": 1024, "max_new_tokens": 1000, "min_length": 3}')
    model = from_pretrained(tmp_path)
    assert model.generation == GenerationConfig(min_length=3, max_length=65)
    assert len(model.generate(np.array([[5, 6]]), eos_token_id=())[0].ids) == 63


def test_a_special_token_outside_the_vocabulary_is_none(tmp_path: Path) -> None:
    CausalLM(GPT2).save_pretrained(tmp_path)
    for name in ("config.json", "generation_config.json"):
        path = tmp_path / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": 50256, "bos_token_id": 50256}))
    model = from_pretrained(tmp_path)
    assert isinstance(model, CausalLM)
    assert (model.config.eos_id, model.generation.eos_token_id) == (None, None)
    assert len(model.generate(np.array([[5]]), max_new_tokens=4)[0].ids) == 4


def test_an_encoder_has_no_generation_settings(tmp_path: Path) -> None:
    Encoder(BERT).save_pretrained(tmp_path)
    assert not (tmp_path / "generation_config.json").exists()


@pytest.mark.peers
@pytest.mark.parametrize("kind", [CausalLM, MaskedLM, Transformer])
def test_transformers_reads_the_tokenizer_with_its_special_tokens(kind: Any, tmp_path: Path) -> None:
    peer = pytest.importorskip("transformers", reason="the peer")
    words = ["one two three", "two two"]
    tokenizer = Tokenizer.train(words, 270, special=[*SPECIAL, MASK])
    config = {CausalLM: GPT2, MaskedLM: BERT, Transformer: small()}[kind]
    kind(config).save_pretrained(tmp_path, tokenizer)
    again = peer.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert again("two three").input_ids == tokenizer.encode(["two three"])[0]
    assert (again.pad_token_id, again.mask_token_id) == (tokenizer.pad_id, tokenizer.mask_id)
    ends = (again.cls_token_id, again.sep_token_id) if kind is MaskedLM else (again.bos_token_id, again.eos_token_id)
    assert ends == (tokenizer.bos_id, tokenizer.eos_id)
    ours = load_tokenizer(tmp_path)
    assert (ours.pad_id, ours.bos_id, ours.eos_id, ours.mask_id) == (0, 1, 2, 3)


STRANGERS = {
    "special_tokens_map.json": {"unk_token": "[UNK]", "pad_token": {"content": "[PAD]"}, "eos_token": "<|endoftext|>"},
    "added_tokens.json": {"two": 999, "[UNK]": 1000},
}


@pytest.mark.peers
def test_files_of_an_earlier_tokenizer_are_removed(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["one two three"], 270)
    model = CausalLM(GPT2)
    model.save_pretrained(tmp_path, tokenizer)
    for name, content in STRANGERS.items():
        (tmp_path / name).write_text(json.dumps(content))
    ours = load_tokenizer(tmp_path)  # what tokenizer_config.json lists goes before the files of earlier versions
    assert (ours.special_names, ours.vocab_size) == (tokenizer.special_names, tokenizer.vocab_size)
    model.save_pretrained(tmp_path)
    assert all((tmp_path / name).exists() for name in STRANGERS)  # no tokenizer was given, so theirs stays
    model.save_pretrained(tmp_path, tokenizer)
    assert not any((tmp_path / name).exists() for name in STRANGERS)
    peer = pytest.importorskip("transformers", reason="the peer").AutoTokenizer
    for name, content in STRANGERS.items():
        (tmp_path / name).write_text(json.dumps(content))
    theirs = peer.from_pretrained(tmp_path)
    assert theirs("one two").input_ids == tokenizer.encode(["one two"])[0]
    assert (theirs.pad_token, theirs.eos_token) == ("<pad>", "</s>")


def test_a_map_of_special_tokens_counts_in_directories_of_earlier_versions(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["one two three"], 270)
    CausalLM(GPT2).save_pretrained(tmp_path, tokenizer)
    path = tmp_path / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({"tokenizer_class": settings["tokenizer_class"]}))
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "<s>"}')
    assert load_tokenizer(tmp_path).eos_id == tokenizer.bos_id


def test_a_save_that_was_committed_but_not_finished_is_read_whole(directory: Path) -> None:
    model = Transformer(small(vocab_size=300))
    model.save_pretrained(directory.parent / "new")
    names = [path.name for path in (directory.parent / "new").iterdir()]
    for name in names:
        (directory.parent / "new" / name).rename(directory / f".pending-{name}")
    (directory / ".commit").write_text("\n".join(names))
    source, target = np.array([[5, 6]]), np.array([[1, 7]])
    with no_grad():
        np.testing.assert_array_equal(from_pretrained(directory)(source, target).numpy(), model.eval()(source, target))


def test_a_flipped_bit_in_the_weights_is_refused(directory: Path) -> None:
    path = directory / "model.safetensors"
    whole = path.read_bytes()
    for at in (len(whole) // 2, len(whole) - 1):
        path.write_bytes(bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]))
        with pytest.raises(ValueError, match=r"model.safetensors: damaged, or changed by another program"):
            from_pretrained(directory)
    (directory / ".commit.json").unlink()
    from_pretrained(directory)  # as a directory of others


def test_edited_files_and_those_of_other_programs_are_read(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dropout": 0.4}))
    assert from_pretrained(directory).config.dropout == 0.4
    weights = {name: tensor.numpy() + 1 for name, tensor in load(directory / "model.safetensors").items()}
    save(weights, directory / "model.safetensors")  # beside a config.json that is another, too
    found = {name: value.data for name, value in from_pretrained(directory).state_dict().items()}
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


def test_a_model_and_its_tokenizer_are_of_one_generation(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Tokenizer
) -> None:
    other = Tokenizer.train(["one"], 260)
    described = loading._described

    def overwritten(saved: Any, *rest: Any) -> Any:  # when the files are read, and before they are looked at
        Transformer(small(vocab_size=260)).save_pretrained(directory, other)
        return described(saved, *rest)

    monkeypatch.setattr(loading, "_described", overwritten)
    model, found = loading.load_both(directory)
    assert model.config.vocab_size == found.vocab_size == tokenizer.vocab_size


def test_integers_are_no_weights(directory: Path) -> None:
    path = directory / "model.safetensors"
    arrays = {name: tensor.numpy() for name, tensor in load(path).items()}
    save({**arrays, (name := next(iter(arrays))): arrays[name].astype("i4")}, path)
    with pytest.raises(ValueError, match=rf"model.safetensors: {name}: expected float32, got int32"):
        from_pretrained(directory)


@pytest.mark.parametrize("value", [1, 10**30])
def test_an_integer_is_a_number_where_a_float_is_due(value: int, directory: Path) -> None:
    path = directory / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "norm_eps": value}))
    model = from_pretrained(directory)
    assert type(model.config.norm_eps) is float
    model(np.array([[5, 6]]), np.array([[1, 7]]))
    path.write_text(json.dumps({**settings, "norm_eps": 10**400}))
    with pytest.raises(ValueError, match=r"config.json: norm_eps: expected a number, got an integer that no float"):
        from_pretrained(directory)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"7", b"[]", b"null"])
def test_json_that_is_none_is_one_error_that_names_the_file(name: str, content: bytes, directory: Path) -> None:
    (directory / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(directory / name))):
        loading.load_both(directory)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"])
def test_paths_that_are_not_files_are_named(name: str, directory: Path) -> None:
    path = directory / name
    path.unlink()
    for make, kind in ((path.mkdir, "a directory"), (lambda: path.symlink_to(path), "a loop of links")):
        make()
        with pytest.raises(ValueError, match=rf"{name}: expected a file, found {kind}"):
            loading.load_both(directory)
        path.rmdir() if kind == "a directory" else path.unlink()


def test_a_saved_tokenizer_leaves_no_file_of_an_earlier_one(directory: Path, tokenizer: Tokenizer) -> None:
    for name in ("special_tokens_map.json", "added_tokens.json"):
        (directory / name).write_text('{"eos_token": "<nobody>"}')
    from_pretrained(directory).save_pretrained(directory, tokenizer)
    assert load_tokenizer(directory).eos_id == tokenizer.eos_id
    assert not list(directory.glob("*tokens*.json"))


def test_loaded_weights_are_the_files_own_memory_and_training_leaves_the_file_alone(tmp_path: Path) -> None:
    model = CausalLM(TransformerConfig.preset("llama-nano", vocab_size=50))
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    loaded = from_pretrained(tmp_path)
    weights = [parameter.data for parameter in loaded.parameters()]
    assert not any(array.flags.owndata for array in weights) and all(array.flags.writeable for array in weights)
    optimizer = mg.optim.SGD(loaded.parameters(), lr=0.1)
    loaded(np.array([[5, 6, 7]])).sum().backward()
    optimizer.step()
    assert any((ours != theirs.data).any() for ours, theirs in zip(weights, model.parameters(), strict=True))
    assert (tmp_path / "model.safetensors").read_bytes() == before
    loaded.save_pretrained(tmp_path)  # in the place of the file that it was read from
    for again, parameter in zip(from_pretrained(tmp_path).parameters(), loaded.parameters(), strict=True):
        np.testing.assert_array_equal(again.data, parameter.data)
