"""The translator's comparison at a small size, and its errors."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.reproduction import __main__ as command, tatoeba
from tests.reproduction.corpus import Corpus
from tests.reproduction.recipe import Recipe
from tests.reproduction.training import INITIAL, RECORD, TrainingError, summary, train, train_in_process
from transformer import from_pretrained
from transformer.train import Step

pytest.importorskip("tokenizers", reason="tokens need the extra text")
pytest.importorskip("sacrebleu", reason="scores need the extra text")

NUMBERS = ("one eins", "two zwei", "three drei", "four vier", "five fünf", "six sechs", "seven sieben", "eight acht")
torch_is_here = pytest.mark.skipif(find_spec("torch") is None, reason="torch is an optional peer: pip install torch")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Pairs such as "two five", "zwei fünf", a few of them with a second translation."""
    words = [tuple(pair.split()) for pair in NUMBERS]
    pairs = [(f"{a} {b}", f"{c} {d}") for a, c in words for b, d in words]
    path = tmp_path / "numbers.tsv"
    path.write_text("".join(f"{a}\t{b}\tany source\n" for a, b in [*pairs, *((a, f"{b}!") for a, b in pairs[:9])]))
    return path


def small(corpus: Path, steps: int) -> Recipe:
    return Recipe(
        data=str(corpus), steps=steps, held_out=12, vocab_size=300, batch_tokens=128, d_model=32, d_ff=64, layers=1,
        dropout=0.0, warmup=20, lr=5e-3,
    )  # fmt: skip


def test_no_pair_is_left_out_and_no_held_out_source_is_trained_on(corpus: Path) -> None:
    parts = Corpus.read(small(corpus, steps=1))
    assert len(parts.train) + len(parts.held_out) == 64 + 9
    assert not {source for source, _ in parts.train} & {source for source, _ in parts.held_out}
    counts = parts.describe()
    assert counts["held_out_pairs"] == 12 >= counts["held_out_sources"]
    assert counts["held_out_targets_known_from_training"] == 0


def test_the_split_is_the_same_for_every_seed(corpus: Path) -> None:
    first, second = (Recipe(data=str(corpus), steps=1, held_out=12, seed=seed) for seed in (0, 1))
    assert Corpus.read(first) == Corpus.read(second)


def test_a_training_learns_and_is_scored(corpus: Path, tmp_path: Path) -> None:
    recipe, out = small(corpus, steps=120), tmp_path / "out"
    parts = Corpus.read(recipe)
    tatoeba.prepare(recipe, parts, out)
    train("minigrad", out, 1)
    results = tatoeba.collect(recipe, parts, out)
    assert json.loads((out / tatoeba.RESULTS).read_text()) == results
    figures = results["frameworks"]["minigrad"]
    assert figures["loss"] < 1.0 and figures["decoders"]["greedy"]["chrF"] > 50
    assert figures["losses"][-1][0] == figures["steps"] == 120
    assert "version" in results["signatures"]["BLEU"]
    for name in ("greedy", "beam-4"):
        assert len((out / "minigrad" / f"{name}.txt").read_text().splitlines()) == recipe.held_out
    assert (out / "held-out.source.txt").read_text().splitlines() == [source for source, _ in parts.held_out]


@pytest.mark.peers
@torch_is_here
def test_both_frameworks_make_the_same_model_where_nothing_is_random(corpus: Path, tmp_path: Path) -> None:
    recipe, out = small(corpus, steps=10), tmp_path / "out"
    parts = Corpus.read(recipe)
    tatoeba.prepare(recipe, parts, out)
    for framework in ("minigrad", "torch"):
        train(framework, out, 1)
    results = tatoeba.collect(recipe, parts, out)["frameworks"]
    assert results["torch"]["batches"] == results["minigrad"]["batches"]
    assert results["torch"]["loss"] == pytest.approx(results["minigrad"]["loss"], rel=1e-3)
    assert results["torch"]["tokens"] == results["minigrad"]["tokens"]
    initial = from_pretrained(out / INITIAL).state_dict()["encoder.tokens.weight"].numpy()
    ours, theirs = (from_pretrained(out / name).state_dict()["encoder.tokens.weight"].numpy() for name in results)
    np.testing.assert_allclose(theirs, ours, atol=1e-3)
    assert abs(ours - initial).max() > 1e-2


@pytest.mark.peers
@torch_is_here
def test_the_command_prints_a_row_for_each_framework(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tatoeba", "--data", str(corpus), "--held-out", "2", "--steps", "1", "--out", str(tmp_path / "out")]
    assert command.main([*arguments, "--framework", "minigrad", "--threads", "1"]) == 0
    assert command.main([*arguments, "--framework", "torch", "--threads", "1"]) == 0
    printed, progress = capfd.readouterr()
    last = printed[printed.rindex("BLEU greedy") :].splitlines()
    assert [line.split()[0] for line in last[1:3]] == ["minigrad", "torch"]
    assert "torch: training with 1 threads" in progress
    record = json.loads((tmp_path / "out" / "torch" / RECORD).read_text())
    assert record["machine"]["threads"] == 1


def test_a_directory_with_a_run_of_another_recipe_is_an_error(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small(corpus, steps=7).save(tmp_path)
    assert command.main(["tatoeba", "--data", str(corpus), "--steps", "8", "--out", str(tmp_path), "--held-out=3"]) == 2
    assert "holds a run with steps 7, not 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing.zip"], "missing.zip: no such file"),
        (["--steps", "0"], "steps: expected at least 1, got 0"),
        (["--seed", "-1"], "seed: expected"),
        (["--held-out", "100000000"], "held_out: cannot hold out"),
        (["--threads", "0"], "threads: expected at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named_before_any_work(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "out"
    assert command.main(["tatoeba", "--data", str(corpus), "--out", str(out), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_framework_is_named_before_any_work(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tatoeba, "find_spec", lambda name: None if name == "torch" else name)
    out = tmp_path / "out"
    assert command.main(["tatoeba", "--data", str(corpus), "--out", str(out), "--held-out", "3"]) == 2
    assert "framework: torch is not installed" in capsys.readouterr().err
    assert not out.exists()


def test_a_damaged_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"steps": 1, "color": "red"}')
    with pytest.raises(ValueError, match=r"recipe\.json: not a recipe"):
        Recipe.load(tmp_path)


def test_a_training_that_fails_is_reported(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="minigrad: the training ended with status 1"):
        train_in_process("minigrad", tmp_path, 1)


def test_the_speed_leaves_out_the_first_step_and_the_time_does_not() -> None:
    steps = [
        Step(number=n, loss=1.0, tokens=100, seconds=9.0 if n == 1 else 1.0, lr=1, gradient_norm=1) for n in (1, 2)
    ]
    found = summary(steps)
    assert found["seconds"] == 10.0 and found["tokens"] == 200 and found["tokens_per_second"] == 100.0
