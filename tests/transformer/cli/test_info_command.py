"""``transformer info``."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.transformer.cli.conftest import TINY, run
from transformer import CausalLM, TransformerConfig, cli, from_pretrained
from transformer.cli import console
from transformer.tasks import model_info


@pytest.mark.parametrize("name", ["translator", "summarizer", "filler", "writer"])
def test_a_training_is_described_with_its_scores(name: str, request: pytest.FixtureRequest) -> None:
    directory = request.getfixturevalue(name)
    said = run("info", directory).out
    assert f"{from_pretrained(directory).num_parameters():,}" in said and "4 of 4" in said
    assert run("evaluate", "--model", directory).out.strip() in said  # what was scored after the training
    assert all(line == line.rstrip() for line in said.splitlines())


def test_the_parts_are_all_parameters(translator: Path) -> None:
    parts = model_info(translator)["parameters"]
    assert parts.pop("in all") == sum(parts.values()) == sum(p.size for p in from_pretrained(translator).parameters())


def test_a_model_without_a_training_is_described(tmp_path: Path) -> None:
    CausalLM(TransformerConfig.preset("nano", vocab_size=11)).save_pretrained(tmp_path)
    sections = model_info(tmp_path)
    assert list(sections) == ["architecture", "parameters"]
    assert sections["architecture"]["model"].startswith("CausalLM, ") and sections["architecture"]["num_heads"] == 4


def test_a_model_of_hugging_face_is_described(tmp_path: Path) -> None:
    sizes = {"d_model": 16, "num_heads": 2, "d_ff": 64, "decoder_layers": 1, "bos_id": 0, "eos_id": 0}
    config = TransformerConfig.preset("gpt2", vocab_size=11, **sizes)
    CausalLM(config).save_pretrained(tmp_path)
    assert "Hugging Face's gpt2" in run("info", tmp_path).out


def test_an_unfinished_training_says_how_far_it_is(translator: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    log = tmp_path / "m" / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]) + '{"step": 3, "lo')
    assert model_info(tmp_path / "m")["training"]["steps"] == "2 of 4"
    for path in (tmp_path / "m").iterdir():  # killed before its first step
        if path.is_file() and path != log:
            path.unlink()
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    assert "0 of 4" in run("info", tmp_path / "m").out


def test_a_thinned_log_counts_all_steps(translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    log = tmp_path / "m" / "log.jsonl"
    header, one, _, _, four = log.read_text().splitlines(keepends=True)
    log.write_text(header + one + four)
    tokens = [json.loads(line)["tokens"] for line in (one, four)]
    found = model_info(tmp_path / "m")["training"]
    assert found["steps"] == "4 of 4" and found["tokens"] == tokens[0] + 3 * tokens[1]


def test_scores_of_an_earlier_model_are_forgotten(translator: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    run("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", "--overwrite", *TINY[:-2],
        "--held-out", 0)  # fmt: skip
    assert "scores" not in model_info(tmp_path / "m")


def test_damaged_scores_are_named(translator: Path, tmp_path: Path) -> None:
    shutil.copytree(translator, tmp_path / "m")
    (tmp_path / "m" / "scores.json").write_text(json.dumps({"line": 3}))
    said = run("info", tmp_path / "m", status=2).err
    assert "scores.json: line: expected a text, got 3" in said and said.count("\n") == 1


class _ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CausalLM(TransformerConfig.preset("nano", vocab_size=11)).save_pretrained(tmp_path)
    monkeypatch.setattr(sys, "stdout", _ClosedPipe())
    assert cli.main(["info", str(tmp_path)]) == 0
    monkeypatch.setattr(sys, "stdout", later := io.StringIO())
    console.out.print("later")
    assert later.getvalue() == "later\n"
