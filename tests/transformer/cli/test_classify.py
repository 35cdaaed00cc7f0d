"""``transformer classify``: a line for each text, its labels with their probabilities."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.transformer.cli.conftest import SENTENCES, run

LINES = "\n".join(SENTENCES)


def test_a_label_is_learned_and_printed_with_its_probability(classifier: Path) -> None:
    said = run("classify", "--model", classifier, *SENTENCES).out
    rows = [line.split("\t") for line in said.splitlines()]
    assert [label for label, _ in rows] == ["old" if "old" in text else "red" for text in SENTENCES]
    assert all(0.5 < float(probability) <= 1 for _, probability in rows)
    assert run("classify", "--model", classifier, stdin=LINES).out == said
    first, share, second, rest = run("classify", "--model", classifier, "--count", 2, "old").out.split("\t")
    assert {first, second} == {"old", "red"} and float(share) + float(rest) == pytest.approx(1, abs=1e-3)


def test_held_out_texts_are_evaluated_again(classifier: Path, tmp_path: Path) -> None:
    scores = json.loads((classifier / "scores.json").read_text())
    assert scores["figures"] == {"accuracy": 100.0, "macro_f1": 100.0}
    assert run("evaluate", "--model", classifier).out == scores["line"] + "\n"
    (tmp_path / "other.tsv").write_text("the old cat\told\nthe old dog\tred\n")
    other = run("evaluate", "--model", classifier, "--data", tmp_path / "other.tsv", "--all").out
    assert other.startswith("2 texts: accuracy 50.0 % (of the most frequent label 50.0 %), macro F1 33.3 %")
    (tmp_path / "other.tsv").write_text("a blue cat\tblue\n")
    said = run("evaluate", "--model", classifier, "--data", tmp_path / "other.tsv", "--all", status=2).err
    assert "labels: expected some of old, red, got 'blue'" in said


@pytest.mark.parametrize(("problem", "columns"), [("multi_label_classification", {0, 2, 4}), ("regression", {4})])
def test_problems_of_other_kinds_print_what_their_scores_mean(
    problem: str, columns: set[int], classifier: Path, tmp_path: Path
) -> None:
    shutil.copytree(classifier, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"problem_type": problem}))
    for line in run("classify", "--model", tmp_path, *SENTENCES).out.splitlines():
        assert len(line.split("\t") if line else []) in columns
    assert "problem_type: expected single_label" in run("evaluate", "--model", tmp_path, status=2).err


def test_bad_input_is_one_error(classifier: Path, filler: Path) -> None:
    assert "count: expected 1 to 2, got 3" in run("classify", "--model", classifier, "--count", 3, "a", status=2).err
    assert "expected some text" in run("classify", "--model", classifier, stdin="", status=2).err
    said = run("classify", "--model", filler, "a", status=2).err
    assert "expected a SequenceClassifier to classify with, got a MaskedLM" in said
