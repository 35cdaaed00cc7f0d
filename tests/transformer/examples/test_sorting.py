"""Sorting: the split, the original's model, and a training."""

from __future__ import annotations

import re

import numpy as np
import pytest

from transformer.examples import sorting
from transformer.examples.__main__ import main

pytestmark = pytest.mark.slow


def test_the_split_has_every_input_once_and_about_a_quarter_of_them_held_out() -> None:
    train, held_out = sorting.split()
    both = np.concatenate([train, held_out])
    assert len(both) == len(np.unique(both, axis=0)) == 3**6
    assert 0.2 < len(held_out) / len(both) < 0.3


def test_the_model_has_the_size_of_gpt_nano() -> None:
    assert sum(parameter.size for parameter in sorting.make_model().parameters()) == pytest.approx(0.09e6, rel=0.06)


def test_a_short_training_sorts_most_of_the_held_out_inputs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "QUESTIONS", 200)
    assert main(["sorting", "--steps", "100", "--seed", "0"]) == 0
    printed = capsys.readouterr().out
    right = re.search(r"sorted (\d+)/200 ", printed)
    assert right and int(right[1]) > 150
    question, answer = printed.splitlines()[0].split(" → ")
    assert len(question.split()) == len(answer.split()) == 6
