"""``transformer evaluate``: the examples that it scores, and the files that it opens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.transformer.cli.conftest import CHARACTERS, PAIRS, TINY, run
from transformer.tasks import TASKS, Report, digest, read_task


@pytest.mark.parametrize("name", ["translator", "summarizer", "filler", "writer"])
def test_a_model_is_evaluated_by_what_its_directory_says_alone(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = request.getfixturevalue(name)
    monkeypatch.chdir(tmp_path)
    figures = {"translator": "sacreBLEU", "summarizer": "(lead ", "filler": "hidden tokens", "writer": "perplexity"}
    said = run("evaluate", "--model", model)
    assert figures[name] in said.out and said.out.count("\n") == 1


def test_the_examples_scored_are_those_that_the_training_held_out_wherever_they_occur(tmp_path: Path) -> None:
    corpus, model = tmp_path / "pairs.tsv", tmp_path / "m"
    lines = [f"{s}\t{t}\n" for s, t in PAIRS]
    corpus.write_text("".join(lines))
    run("train", "translate", "--data", corpus, "--out", model, *TINY)
    before = read_task(model)[1].held_out_digests
    assert before is not None and len(before) == 5
    scored: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TASKS["translate"], "evaluate", lambda *given: scored.append(given[2]) or Report({}, ""))
        run("evaluate", "--model", model)
        corpus.write_text("new\tneu\n" + "".join(lines[::-1]) + "older\tälter\n" * 3)
        run("evaluate", "--model", model)
        run("evaluate", "--model", model, "--data", shutil.copy(corpus, tmp_path / "moved.tsv"))
        assert scored[0] == scored[1] == scored[2] and [digest(pair) for pair in scored[0]] == list(before)
        for option in (["--held-out", 3], ["--split-seed", 1], ["--reverse"]):
            assert "the training held out are scored" in run("evaluate", "--model", model, *option, status=2).err
        source, target = scored[0][0]
        corpus.write_text("".join(lines).replace(f"{source}\t{target}\n", ""))
        said = run("evaluate", "--model", model, status=2).err
        assert f"1 of the 5 examples that the training held out are not in {corpus}" in said
        whole = ("evaluate", "--model", model, "--data", tmp_path / "moved.tsv", "--all")
        assert "also its training examples" in run(*whole).err


def test_a_text_that_has_grown_is_not_scored_where_the_model_learned_from_it(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "verse.txt"
    shutil.copy(folder / "verse.txt", text)
    run("train", "generate", "--data", text, "--out", tmp_path / "m", *CHARACTERS)
    text.write_text(text.read_text() * 2)
    said = run("evaluate", "--model", tmp_path / "m", status=2).err
    assert "1 of the 1 examples that the training held out are not in" in said


def test_other_data_and_whole_test_sets_can_be_evaluated_on(translator: Path, tmp_path: Path) -> None:
    test_set = tmp_path / "test.tsv"
    test_set.write_text("1 and 2\t1 und 2\n3 and 4\t3 und 4\n")
    assert "of 2)" in run("evaluate", "--model", translator, "--data", test_set, "--all").out
    assert "of 1)" in run("evaluate", "--model", translator, "--data", test_set, "--held-out", 1).out
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):  # of a model that was not trained here
        shutil.copy(translator / name, tmp_path / "model")
    arguments = ("--model", tmp_path / "model", "--data", test_set, "--all")
    assert "of 2)" in run("evaluate", "--task", "translate", *arguments).out
    assert "task.json is missing" in run("evaluate", *arguments, status=2).err


def _named(model: Path, out: Path, **changes: Any) -> Path:
    """A copy of a model directory whose task.json says something else."""
    shutil.copytree(model, out)
    path = out / "task.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return out


def test_evaluate_opens_no_file_that_an_untrusted_directory_names(
    folder: Path, translator: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the password\n" * 9)
    theirs = _named(translator, tmp_path / "theirs", data=[str(secret)], held_out=1)
    said = run("evaluate", "--model", theirs, status=2)
    error = said.err.splitlines()[-1]
    assert f"data: {theirs / 'task.json'} names {secret}, and was not written by a training of yours" in error
    assert f"--data {secret} reads it all the same" in error and "password" not in said.err
    pairs = folder / "pairs.tsv.gz"
    theirs = _named(translator, tmp_path / "more", data=[str(pairs)], held_out=4)  # whatever it is that was changed
    assert "--data" in run("evaluate", "--model", theirs, status=2).err


def test_a_directory_that_was_moved_is_still_ones_own(translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "moved")
    assert "exact match" in run("evaluate", "--model", tmp_path / "moved").out


def test_a_home_that_keeps_no_key_trains_and_asks(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pairs = folder / "pairs.tsv.gz"
    run("train", "translate", "--data", pairs, "--out", tmp_path / "m", *TINY)
    assert f"--data {pairs} reads it" in run("evaluate", "--model", tmp_path / "m", status=2).err
    assert "exact match" in run("evaluate", "--model", tmp_path / "m", "--data", pairs).out


@pytest.mark.parametrize("data", ["/dev/random", "/dev/zero", "/dev/null"])
def test_a_device_is_no_data(data: str, translator: Path, tmp_path: Path) -> None:
    error = f"{data}: expected a file, found a device"
    assert error in run("train", "generate", "--data", data, "--out", tmp_path / "m", status=2).err
    assert error in run("evaluate", "--model", translator, "--data", data, status=2).err
