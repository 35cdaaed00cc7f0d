"""The command of the examples: errors come before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transformer.cli import console
from transformer.examples.__main__ import main


@pytest.fixture(autouse=True)
def _no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*args: Any) -> None:
        raise AssertionError("a training has begun")

    monkeypatch.setattr(console, "watch", begun)


@pytest.mark.parametrize("name", ["induction", "modular-addition", "table3", "why-transformers"])
def test_a_place_for_results_that_is_a_file_is_an_error_before_the_training(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="draws")
    taken = tmp_path / "taken"
    taken.touch()
    assert main([name, "--out", str(taken)]) == 2
    assert str(taken) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table3", "--held-out", "0"], "held_out: expected at least 1, got 0"),
        (
            ["modular-addition", "--share", "nan"],
            "share: expected a part of the 3,481 sums, neither none nor all, got nan",
        ),
        (["induction", "--seed", "-1"], "seed: expected a number ≥ 0, got -1"),
    ],
)
def test_a_value_that_cannot_be_is_an_error_with_its_name_before_the_training(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
