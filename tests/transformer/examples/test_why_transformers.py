"""The comparison of recurrent layers with a Transformer, at a size at which nothing is learned."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from transformer.examples.__main__ import main
from transformer.examples.studies import MODELS, MemorySettings, SpeedSettings, TranslationSettings, memory
from transformer.examples.why_transformers import FIGURES, RESULTS, Settings, compare

pytest.importorskip("matplotlib", reason="draws the figure")
pytest.importorskip("babel", reason="makes the corpus")

TINY = Settings(
    memory=MemorySettings(distances=(2, 4), steps=2, batch=2, held_out=1, d_model=16),
    translation=TranslationSettings(
        phrases=300, held_out_phrases=20, texts=40, held_out=4, most=2, steps=2, tokens=128, vocabulary=300, d_model=16
    ),
    speed=SpeedSettings(lengths=(4, 8), tokens=16, steps=1, d_model=16),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("why") / "new"
    compare(TINY, out, seed=3)
    return out


@pytest.fixture(scope="module")
def results(directory: Path) -> dict[str, Any]:
    return json.loads((directory / RESULTS).read_text("utf-8"))


@pytest.mark.parametrize(
    ("part", "at", "places"),
    [("memory", "distance", [2, 4]), ("translation", "phrases", [1, 2]), ("speed", "length", [4, 8])],
)
def test_each_model_has_a_point_at_each_place(results: dict[str, Any], part: str, at: str, places: list[int]) -> None:
    found = {(point["model"], point[at]) for point in results[part]}
    assert found == {(model, place) for model in MODELS for place in places}
    assert len(results[part]) == len(found)


def test_the_results_say_how_they_were_made(results: dict[str, Any]) -> None:
    assert results["seed"] == 3
    assert results["settings"]["memory"]["steps"] == 2
    assert all(point["signature"].startswith("nrefs:1") for point in results["translation"])


@pytest.mark.parametrize("part", ["memory", "translation", "speed"])
def test_all_models_have_about_the_same_size(results: dict[str, Any], part: str) -> None:
    sizes = [point["parameters"] for point in results[part]]
    assert max(sizes) < 1.15 * min(sizes)  # one unit more or less is much of so little


def test_a_batch_has_as_many_tokens_at_every_length(results: dict[str, Any]) -> None:
    assert {point["length"] * point["batch"] for point in results["speed"]} == {16}
    assert all(point["tokens_per_second"] > 0 for point in results["speed"])


def test_each_length_of_the_source_has_its_own_texts(results: dict[str, Any]) -> None:
    assert {point["count"] for point in results["translation"]} == {2}
    shorter, longer = ({p["tokens"] for p in results["translation"] if p["phrases"] == n} for n in (1, 2))
    assert len(shorter) == len(longer) == 1 and min(shorter) < min(longer)


def test_the_figure_is_written_as_png_and_as_svg(directory: Path) -> None:
    png, svg = (directory / name for name in FIGURES)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in svg.read_bytes()


def test_a_seed_repeats_what_is_remembered() -> None:
    settings = MemorySettings(distances=(3,), steps=2, batch=2, held_out=1, d_model=16)
    first, again, other = ([(p.loss, p.recall) for p in memory(settings, seed)] for seed in (0, 0, 1))
    assert first == again != other


def test_without_matplotlib_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["why-transformers", "--quick", "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'minigrad-transformer[draw]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_impossible_distance_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why-transformers", "--quick", "--distances", "0", "--out", str(tmp_path)]) == 2
    assert "distance: expected at least 1, got 0" in capsys.readouterr().err
