"""Configuration files: read, overridden, written by each training."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.transformer.cli.conftest import CHARACTERS, TINY, run, weights_of
from transformer import (
    cli,
)

TRAIN = ("train", "generate", "--out", "m", "--data", "x")


def test_the_file_that_a_training_writes_repeats_it(translator: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    run("train", "translate", "--config", translator / "training.toml", "--out", again)
    assert weights_of(again) == weights_of(translator)
    assert (again / "training.toml").read_bytes() == (translator / "training.toml").read_bytes()
    run("train", "translate", "--config", again / "training.toml", "--out", again, "--resume")
    said = run(
        *("train", "translate", "--config", again / "training.toml", "--out", again, "--resume", "--lr", 1), status=2
    )
    assert "of another training: config.lr was absent, is 1.0" in said.err  # as without a file


@pytest.mark.parametrize(
    "options", [[], ["--preset", "nano", "--layers", "1"], ["--preset", "llama-nano"], ["--dropout", "0.25"]]
)
def test_a_preset_and_its_changes_are_repeated(options: list[str], folder: Path, tmp_path: Path) -> None:
    sizes = [*CHARACTERS, "--seed", "3"] if not options else [*options, "--steps", "1", "--max-length", "16"]
    run("train", "generate", "--data", folder / "verse.txt", "--out", tmp_path / "a", *sizes)
    run("train", "generate", "--config", tmp_path / "a" / "training.toml", "--out", tmp_path / "b")
    for name in ("config.json", "model.safetensors", "training.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_an_option_overrides_the_file_which_overrides_preset_and_default(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('preset = "nano"\nd_model = 64\nsteps = 7\nbias = true\nskip-bad = true\nbetas = [0.8, 0.9]\n')
    args = cli._parser().parse_args([*TRAIN, "--steps", "9", "--no-skip-bad", "--config", str(file)])
    assert (args.preset, args.d_model, args.steps, args.bias, args.skip_bad) == ("nano", 64, 9, True, False)
    assert args.betas == [0.8, 0.9]
    settings = cli.train.settings_of(args, cli.train.TASKS["generate"].defaults)
    assert settings.architecture["d_model"] == 64 and settings.architecture["decoder_layers"] == 4  # nano's
    assert settings.training.steps == 9
    assert settings.training.warmup == cli.train.TASKS["generate"].defaults.training.warmup


def test_required_options_may_stand_in_the_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f"data = ['{folder / 'pairs.tsv.gz'}']\nout = '{tmp_path / 'm'}'\n")
    run("train", "translate", f"--conf={file}", *TINY)
    assert tomllib.loads((tmp_path / "m" / "training.toml").read_text())["vocab-size"] == 300


BAD = {  # content → what the error says
    "epochs = 3": "unknown setting 'epochs'; did you mean steps?",
    "resume = true": "unknown setting 'resume'",
    "no_bias = true": "unknown setting 'no_bias'",
    "steps = 'many'": "argument --steps: invalid int value: 'many'",
    "steps = true": "argument --steps: expected a value, got True",
    "steps = [1, 2]": "argument --steps: expected a value, got [1, 2]",
    "betas = [0.9]": "argument --betas: expected 2 values, got [0.9]",
    "betas = 0.9": "argument --betas: expected 2 values, got 0.9",
    "data = []": "argument --data: expected values, got []",
    "bias = 'yes'": "argument --bias: expected true or false, got 'yes'",
    "positions = 'rotry'": "invalid choice: 'rotry'",
    "[training]\nsteps = 3": "unknown setting 'training'",
    "steps = ": "Invalid value (at ",
}


@pytest.mark.parametrize("content", BAD)
def test_a_bad_file_is_named_in_one_line(content: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(content)
    error = run(*TRAIN, "--config", file, status=2).err
    assert error.startswith(f"transformer train generate: error: {file}: ") and BAD[content] in error
    assert error.count("\n") == 1
    assert "no such file" in run(*TRAIN, "--config", tmp_path / "none.toml", status=2).err


def test_a_byte_order_mark_is_no_setting(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("steps = 7\n", encoding="utf-8-sig")
    assert cli._parser().parse_args([*TRAIN, "--config", str(file)]).steps == 7
