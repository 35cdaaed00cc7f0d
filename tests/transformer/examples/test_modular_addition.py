"""Modular addition: the split, the labels, memorisation, and the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from transformer.data.batches import IGNORED
from transformer.examples import modular_addition
from transformer.examples.__main__ import main
from transformer.examples.modular_addition import Check


def test_the_split_has_every_sum_once_and_each_is_right() -> None:
    train, test = modular_addition.split(7, 0.4, seed=0)
    assert len(train) == 20 and len(test) == 29
    assert {(a, b) for a, b, _, _ in train + test} == {(a, b) for a in range(7) for b in range(7)}
    assert all(sign == 7 and (a + b) % 7 == c for a, b, sign, c in train + test)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_that_leaves_a_part_empty_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share: expected a part of the 49 sums"):
        modular_addition.split(7, share, seed=0)


def test_nothing_is_predicted_but_the_result() -> None:
    (batch,) = modular_addition.whole([[3, 6, 7, 2], [1, 1, 7, 2]], 7).epoch(0)
    assert sorted(batch.inputs[0].tolist()) == [[1, 1, 7], [3, 6, 7]]
    assert batch.labels.tolist() == [[IGNORED, IGNORED, 2]] * 2


def test_learned_is_the_first_step_with_nearly_all_right() -> None:
    checks = [Check(1, 4, 4, 0.0, 0.0), Check(2, 1, 4, 0.99, 0.1), Check(4, 0, 4, 1.0, 0.2)]
    assert modular_addition.learned(checks, "train") == 2
    assert modular_addition.learned(checks, "test") is None


def test_training_sums_are_memorised_before_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prime", "11", "--share", "0.3", "--steps", "60", "--weight-decay", "0", "--out", str(tmp_path)]
    assert main(["modular-addition", *arguments]) == 0
    train, test, *_ = capsys.readouterr().out.splitlines()
    assert train.startswith("train  99% right after")
    assert test.startswith("test   99% right not within 60 steps")
    assert (tmp_path / "modular_addition.png").read_bytes().startswith(b"\x89PNG")


def test_a_modulus_that_is_no_prime_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modular-addition", "--prime", "21"]) == 2
    assert "prime: expected a prime number, got 21" in capsys.readouterr().err
