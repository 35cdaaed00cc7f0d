"""Trainings that are stopped or killed, and resumed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.transformer.cli.conftest import TINY, command_line, run, run_until, weights_of
from transformer import (
    cli,
    load_tokenizer,
)
from transformer.cli import console
from transformer.pretrained import load_both
from transformer.pretrained.snapshot import exclusive
from transformer.tasks.training import SPOOL
from transformer.train import Trainer

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal of POSIX systems")
@pytest.mark.parametrize("every", [["--checkpoint-every", 1], []])  # without it, the first step alone has one
def test_a_killed_training_that_is_resumed_has_the_weights_of_one_that_was_not_killed(
    every: list[object], folder: Path, tmp_path: Path
) -> None:
    def arguments(name: str) -> list[object]:
        data = ["train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / name]
        return [*data, *TINY, "--steps", 60, *every, "--evaluate-every", 30]

    status, _ = run_until(command_line(*arguments("killed")), signal.SIGKILL, "step 1/")
    assert status == -signal.SIGKILL
    assert "--resume continues" not in run(*arguments("killed"), "--resume").err
    run(*arguments("whole"))
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")


def test_ctrl_c_leaves_a_usable_model_and_prints_how_to_resume(folder: Path, tmp_path: Path) -> None:
    data = folder / "pairs.tsv.gz"
    command = command_line("train", "translate", "--data", data, "--out", tmp_path / "m", *TINY, "--steps", 100_000)
    status, rest = run_until(command, signal.SIGINT, "step 1/")
    assert status == cli.INTERRUPTED
    assert "stopped after step" in rest and "--resume continues" in rest and "Traceback" not in rest
    assert run("translate", "--model", tmp_path / "m", "1 and 2").out.count("\n") == 1


def test_an_interruption_before_the_first_step_leaves_the_previous_model(
    folder: Path, translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs[v2]"  # brackets in a path are no markup
    shutil.copytree(translator, out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(console, "watch", interrupt)
        arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, "--overwrite")
        said = run(*arguments, "--seed", 1, status=cli.INTERRUPTED)
    assert "stopped before the first step" in said.err
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    said = run(*arguments, "--seed", 1)
    assert said.out.splitlines()[-1] == f"model in {out}"
    assert weights_of(out) != before["model.safetensors"]


def test_a_training_killed_before_its_first_step_is_resumed_with_tokens_of_its_own(
    folder: Path, translator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m"
    shutil.copytree(translator, out)  # an earlier model, of other tokens

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, "--vocab-size", 260)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", killed)
        run(*arguments, "--overwrite", status=cli.INTERRUPTED)
    run(*arguments, "--resume")
    assert load_tokenizer(translator).vocab_size > load_tokenizer(out).vocab_size == 260


@pytest.mark.parametrize("every", [["--checkpoint-every", 2], []])  # as often as it says, or never before its end
def test_a_model_whose_checkpoint_is_lost_is_not_written_over_by_a_resumption(
    every: list[object], folder: Path, translator: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    shutil.copytree(translator, out, ignore=shutil.ignore_patterns("checkpoint"))
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, "--seed", 1)
    said = run(*arguments, *every, "--resume", status=2)
    assert f"resume: the checkpoint in {out} is missing after 4 steps; --overwrite restarts" in said.err
    assert weights_of(out) == weights_of(translator)


@pytest.mark.filterwarnings("default:.*the previous checkpoint, of step 3")
def test_a_damaged_checkpoint_is_one_line_and_the_one_before_is_resumed_to_the_same_end(
    folder: Path, other_translator: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    shutil.copytree(other_translator, out)
    path = out / "checkpoint" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    data = ["--data", folder / "pairs.tsv.gz", *TINY, "--vocab-size", 260, "--checkpoint-every", 1]
    said = run("train", "translate", "--out", out, *data, "--resume")
    (line,) = [line for line in said.err.splitlines() if str(path) in line]
    assert line.startswith("transformer train: ") and line.endswith("checkpoint, of step 3, is used instead")
    assert weights_of(out) == weights_of(other_translator)
    for name in ("weights.safetensors", "previous-state.json"):
        (out / "checkpoint" / name).write_bytes(b"")
    said = run("train", "translate", "--out", out, *data, "--resume", status=2)
    assert f"{path}: not a whole checkpoint" in said.err.splitlines()[-1]


class Kill(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def other_translator(folder: Path) -> Path:
    data = ["--data", folder / "pairs.tsv.gz", *TINY, "--vocab-size", 260, "--checkpoint-every", 1]
    run("train", "translate", "--out", folder / "other translator", *data)
    return folder / "other translator"


@pytest.mark.parametrize("moment", [0, 1, 3, 9, 14])
def test_a_training_over_another_model_killed_at_any_rename_is_resumed_to_the_same_end(
    moment: int,
    folder: Path,
    translator: Path,
    other_translator: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, replace, count = tmp_path / "m", os.replace, 0
    shutil.copytree(translator, out)  # of other tokens
    before = weights_of(out)

    def killed(*arguments: Any) -> None:
        nonlocal count
        if SPOOL in str(arguments[-1]):  # of the corpus: before the training
            return replace(*arguments)
        if count == moment:
            raise Kill  # and so whatever comes after it
        count += 1
        replace(*arguments)

    data = ["--data", folder / "pairs.tsv.gz", *TINY, "--vocab-size", 260, "--checkpoint-every", 1]
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(Kill):
            run("train", "translate", "--out", out, *data, "--overwrite")
    model, tokenizer = load_both(out)
    assert model.config.vocab_size == tokenizer.vocab_size
    if not moment:  # not begun
        said = run("train", "translate", "--out", out, *data, "--resume", status=2)
        assert "of another training" in said.err and weights_of(out) == before
        return
    run("train", "translate", "--out", out, *data, "--resume")
    assert weights_of(out) == weights_of(other_translator)
    assert {path.name for path in out.rglob("*")} == {path.name for path in other_translator.rglob("*")}


def test_a_second_training_into_a_directory_is_refused(folder: Path, translator: Path, tmp_path: Path) -> None:
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", *TINY)
    for options in ([], ["--overwrite"], ["--resume"]):
        with exclusive(tmp_path / "m"):
            said = run(*arguments, *options, status=2)
        assert said.err.splitlines()[-1].endswith(
            f"{tmp_path / 'm'}: another training is writing to it; wait for its end, or choose another place"
        )


@pytest.mark.parametrize("name", ["log.jsonl", "loss.png", "gradients.png", "checkpoint"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_a_training_writes_nothing_through_a_link_out_of_its_directory(
    name: str, options: list[str], folder: Path, tmp_path: Path
) -> None:
    out, mine = tmp_path / "m", tmp_path / "mine"
    out.mkdir()
    if name == "checkpoint":
        mine.mkdir()
        (mine / "state.json").write_text("mine")
    else:
        mine.write_text("mine")
    (out / name).symlink_to(mine)
    said = run("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY, *options, status=2)
    assert "symbolic link" in said.err.splitlines()[-1] and str(out / name) in said.err.splitlines()[-1]
    assert (mine / "state.json" if name == "checkpoint" else mine).read_text() == "mine"
    assert [path.name for path in out.iterdir()] == [name]


def test_an_existing_log_is_not_overwritten_by_default(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "log.jsonl").write_text("mine")
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", *TINY)
    said = run(*arguments, status=2)
    assert "holds log.jsonl of a training already; choose another place" in said.err
    assert (tmp_path / "m" / "log.jsonl").read_text() == "mine"
    run(*arguments, "--overwrite")


def test_a_full_disk_is_one_line_that_names_the_file(folder: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    out = tmp_path / "m"
    command = command_line("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # noqa: E731  # of the other process
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 2 and "Exception ignored" not in done.stderr and "Traceback" not in done.stderr
    assert re.search(r"error: .*File too large: '.*/m/.*(json|safetensors)'$", done.stderr.splitlines()[-1])
    assert not [path for path in out.rglob("*") if "pending" in path.name]
    run("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *TINY)


def test_a_training_repeats_to_the_digit_in_another_process(folder: Path, tmp_path: Path) -> None:
    def arguments(name: str) -> list[object]:
        wide = ["--d-model", 64, "--d-ff", 128, "--steps", 2]  # enough for the parallel kernels
        return ["train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / name, *TINY, *wide]

    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run(command_line(*arguments("other")), env=environment, capture_output=True, check=True)
    run(*arguments("own"))
    assert weights_of(tmp_path / "other") == weights_of(tmp_path / "own")


def test_the_tokens_of_a_resumed_training_are_those_it_began_with(writer: Path) -> None:
    assert load_tokenizer(writer).vocab_size == len(set("to be or not to be, that is the question\n"))
