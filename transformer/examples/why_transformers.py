"""Transformers compared with RNN, LSTM and GRU in the same trainer: memory, translation, and speed.

Three comparisons at about equal numbers of parameters: copy memory over growing distances; translation quality as
sources get longer; tokens per second of a training step as sequences get longer. Writes results.json, and one figure
with all curves as why-transformers.png and .svg.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

import minigrad as mg
from minigrad.io import replace_file
from minigrad.optional_imports import require
from transformer.cli import console
from transformer.examples.studies import (
    MODELS,
    Memory,
    MemorySettings,
    Quality,
    Speed,
    SpeedSettings,
    TranslationSettings,
    memory,
    speed,
    translation,
)
from transformer.examples.why_figure import save_figure

RESULTS = "results.json"
FIGURES = ("why-transformers.png", "why-transformers.svg")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the three comparisons."""

    memory: MemorySettings = field(default_factory=MemorySettings)
    translation: TranslationSettings = field(default_factory=TranslationSettings)
    speed: SpeedSettings = field(default_factory=SpeedSettings)


QUICK = Settings(  # a test of the code, not of the models
    memory=MemorySettings(distances=(5, 10, 20), steps=30, batch=8, held_out=4, d_model=32),
    translation=TranslationSettings(
        phrases=1200,
        held_out_phrases=100,
        texts=600,
        held_out=24,
        most=3,
        steps=20,
        tokens=256,
        vocabulary=400,
        d_model=32,
    ),
    speed=SpeedSettings(lengths=(16, 64, 256), tokens=512, steps=2, d_model=32),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of results and figure")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, a test run of less than a minute")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    parser.add_argument(
        "--distances",
        type=int,
        nargs="+",
        metavar="N",
        help="blanks of the copy memory (default: 10 25 50 100 200); published for 1000: LSTM 0.0204, GRU 0.0197",
    )


def run(args: argparse.Namespace) -> None:
    """Run the study."""
    settings = QUICK if args.quick else Settings()
    if args.distances:
        distances = tuple(sorted(set(args.distances)))
        settings = dataclasses.replace(settings, memory=dataclasses.replace(settings.memory, distances=distances))
    compare(settings, args.out, args.seed)


def compare(settings: Settings, out: Path, seed: int) -> None:
    """Run all three comparisons, and write the results to a directory after each.

    Args:
        settings: the sizes.
        out: the directory, made when missing.
        seed: of data, weights and dropout; speeds are as measured.

    Raises:
        ModuleNotFoundError: a library of the extras ``text`` or ``draw`` is not installed.
    """
    for module, extra in (("matplotlib", "draw"), ("sacrebleu", "text"), ("tokenizers", "text"), ("babel", "text")):
        require(module, extra)  # check for missing packages before the trainings
    out.mkdir(parents=True, exist_ok=True)
    parts: list[tuple[str, Callable[[], Iterator[Any]], Callable[[Sequence[Any]], Table]]] = [
        ("memory", lambda: memory(settings.memory, seed), memory_table),
        ("translation", lambda: translation(settings.translation, seed), translation_table),
        ("speed", lambda: speed(settings.speed, seed), speed_table),
    ]
    document: dict[str, Any] = {
        "seed": seed,
        "versions": {"minigrad": mg.__version__},
        "settings": dataclasses.asdict(settings),
    }
    found: dict[str, list[Any]] = {}
    for name, study, table in parts:
        found[name] = list(study())
        document[name] = [dataclasses.asdict(point) for point in found[name]]
        replace_file(out / RESULTS, (json.dumps(document, indent=1) + "\n").encode())
        console.out.print(table(found[name]), "")
    save_figure(found["memory"], found["translation"], found["speed"], [out / name for name in FIGURES])
    for name in (RESULTS, *FIGURES):
        console.out.print(str(out / name))


def memory_table(points: Sequence[Memory]) -> Table:
    """Table of loss and recall of each model at each distance, with the memoryless baseline."""
    rows = {
        f"{distance:,}": [
            f"{point.loss:.4f}  {100 * point.recall:.1f} %" for point in points if point.distance == distance
        ]
        + [f"{next(point.memoryless for point in points if point.distance == distance):.4f}  12.5 %"]
        for distance in dict.fromkeys(point.distance for point in points)
    }
    return _table("Copy memory: loss a position in nats, symbols recalled", ("blanks", *MODELS, "no memory"), rows)


def translation_table(points: Sequence[Quality]) -> Table:
    """Table of BLEU and exact matches of each model at each length of the source."""
    rows = {
        f"{phrases} ({next(p.tokens for p in points if p.phrases == phrases):.1f} tokens)": [
            f"{point.bleu:.1f}  {point.exact_match:.1f} %" for point in points if point.phrases == phrases
        ]
        for phrases in dict.fromkeys(point.phrases for point in points)
    }
    title = f"Translation: BLEU and exact matches, held out\n{points[0].signature}"
    return _table(title, ("phrases of a source", *MODELS), rows)


def speed_table(points: Sequence[Speed]) -> Table:
    """Table of tokens per second of each model at each length."""
    rows = {
        f"{length:,}": [f"{point.tokens_per_second:,.0f}" for point in points if point.length == length]
        for length in dict.fromkeys(point.length for point in points)
    }
    return _table("Training: tokens/s at a constant number of tokens a batch", ("tokens of a row", *MODELS), rows)


def _table(title: str, columns: Sequence[str], rows: dict[str, list[str]]) -> Table:
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table
