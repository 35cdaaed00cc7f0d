"""Induction: sequences, labels, and the head that is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transformer.data.batches import IGNORED
from transformer.examples import induction
from transformer.examples.__main__ import main


def test_a_sequence_is_different_tokens_twice_in_the_same_order() -> None:
    sequences = induction.repeated(50, 3, 9, [0])
    for sequence in sequences:
        half = sequence[: len(sequence) // 2]
        assert sequence == half + half and len(set(half)) == len(half) and 0 not in half
    assert {len(sequence) // 2 for sequence in sequences} == set(range(3, 10))


def test_labels_are_the_repetition_without_its_first_token() -> None:
    (batch,) = induction.batches([[4, 9, 7, 4, 9, 7]], seed=0).epoch(0)
    assert batch.inputs[0].tolist() == [[4, 9, 7, 4, 9]]
    assert batch.labels.tolist() == [[IGNORED, IGNORED, IGNORED, 9, 7]]


def test_the_score_is_the_weight_on_the_token_after_the_previous_occurrence(monkeypatch: pytest.MonkeyPatch) -> None:
    length = 2 * induction.LONGEST
    nothing, before, inductive = np.zeros((3, length, length))
    before[np.arange(1, length), np.arange(length - 1)] = 1.0
    for place in range(induction.LONGEST, length):
        inductive[place, place - induction.LONGEST + 1] = 0.8
    layers = [np.stack([before, nothing])[None], np.stack([nothing, inductive])[None]]
    monkeypatch.setattr(induction, "recorded", lambda model, ids: layers)
    heads = induction.scores(object(), seed=0)  # type: ignore[arg-type]
    assert [(head.layer, head.number) for head in heads] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert [head.score for head in heads] == pytest.approx([0, 0, 0, 0.8])


def test_the_command_compares_both_models_and_draws_the_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in {"SEQUENCES": 100, "HELD_OUT": 8, "BATCH": 4, "SHORTEST": 3, "LONGEST": 6, "PICTURED": 5}.items():
        monkeypatch.setattr(induction, name, size)
    assert main(["induction", "--steps", "3", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "1 layer:" in printed and "2 layers:" in printed
    assert "the strongest induction head is number" in printed
    assert (tmp_path / "induction.png").read_bytes().startswith(b"\x89PNG")
