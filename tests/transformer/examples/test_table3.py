"""Table 3 at a small scale: rows, verdicts, and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from transformer import TransformerConfig
from transformer.examples import table3
from transformer.examples.__main__ import main
from transformer.examples.table3 import BASE, ROWS, Results, Row, Run, select, verdict

ROW = {row.change: row for row in ROWS}


def runs(*perplexities: float) -> list[Run]:
    return [Run(seed, 1, perplexity, 0.0, 0.0, 0.0) for seed, perplexity in enumerate(perplexities)]


@pytest.mark.parametrize("row", [row for row in ROWS if row.paper], ids=lambda row: row.change)
def test_expected_directions_follow_from_the_paper(row: Row) -> None:
    difference = math.log((row.paper or 0) / 4.92)
    assert row.expected == ("alike" if abs(difference) < 0.01 else "worse" if difference > 0 else "better")


def test_every_row_is_a_model_of_its_own() -> None:
    configs = [TransformerConfig(**{"vocab_size": 9, **table3.ARCHITECTURE, **row.architecture}) for row in ROWS]
    assert len({(config.to_json(), str(row.training)) for config, row in zip(configs, ROWS, strict=True)}) == len(ROWS)


def test_a_group_comes_with_the_rows_it_is_compared_with() -> None:
    assert [row.change for row in select(["S"])] == [BASE, "1 head", "not scaled", "1 head, not scaled"]
    with pytest.raises(ValueError, match="rows: expected some of base, A, B, C, D, E, S, got 'F'"):
        select(["A", "F"])


@pytest.mark.parametrize(
    ("change", "perplexity", "expected"),
    [
        ("1 head", 6.0, "yes"),
        ("1 head", 5.01, "unclear"),
        ("1 head", 4.0, "no: better"),
        ("d_ff × 2", 4.0, "yes"),
        ("d_ff × 2", 6.0, "no: worse"),
        ("learned positions", 5.01, "yes"),
        ("learned positions", 6.0, "no: worse"),
        (BASE, 5.0, ""),
    ],
)
def test_a_difference_counts_when_it_is_greater_than_what_seeds_make(
    change: str, perplexity: float, expected: str
) -> None:
    results: Results = {change: runs(perplexity), BASE: runs(4.9, 5.0, 5.1)}
    assert verdict(ROW[change], results) == expected


def test_more_seeds_make_a_small_difference_clear() -> None:
    results: Results = {BASE: runs(4.9, 5.0, 5.1, 4.9, 5.1, 5.0), "1 head": runs(5.15)}
    assert verdict(ROW["1 head"], results) == "unclear"
    assert verdict(ROW["1 head"], {**results, "1 head": runs(*[5.15] * 6)}) == "yes"


def test_a_row_is_compared_with_the_one_that_it_names() -> None:
    results: Results = {BASE: runs(4.9, 5.0, 5.1), "1 head": runs(8.0), "1 head, not scaled": runs(6.0)}
    assert verdict(ROW["1 head, not scaled"], results) == "no: better"


def test_the_command_prints_the_table_and_keeps_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"d_model": 16, "num_heads": 8, "d_ff": 16, "encoder_layers": 1, "decoder_layers": 1}
    monkeypatch.setattr(table3, "ARCHITECTURE", small)
    options = ["--rows", "E", "--steps", "2", "--pairs", "300", "--held-out", "4", "--out", str(tmp_path)]
    assert main(["table3", *options]) == 0
    printed = capsys.readouterr().out
    assert printed.rstrip() == (tmp_path / "table3.md").read_text("utf-8").rstrip()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    assert [row[1] for row in rows[2:]] == ["base", "learned positions"]
    document = json.loads((tmp_path / "table3.json").read_text("utf-8"))
    assert [run["seed"] for run in document["runs"]["base"]] == [0, 1, 2]
    assert document["runs"]["learned positions"][0]["perplexity"] > 1
    assert document["options"]["steps"] == 2


@pytest.mark.parametrize("option", ["--seeds=0", "--rows=Q"])
def test_a_bad_choice_is_refused_before_any_training(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table3", option]) == 2
    assert option[2:6] in capsys.readouterr().err
