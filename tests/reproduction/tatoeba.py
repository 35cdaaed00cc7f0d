"""One translator, trained by the package and by PyTorch: the same data, batches, first weights, steps and decoder."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad.io import replace_file
from tests.reproduction.corpus import Corpus
from tests.reproduction.recipe import Recipe
from tests.reproduction.scores import evaluate, table
from tests.reproduction.training import INITIAL, RECORD, TRAINERS, train_in_process
from transformer import Transformer
from transformer.cli import console
from transformer.data.tokenizer import Tokenizer

RESULTS = "results.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``python -m tests.reproduction tatoeba``."""
    parser.add_argument(
        "--framework",
        choices=[*TRAINERS, "both"],
        default="both",
        help="who is trained now; the table shows all whose results are in the directory (%(default)s)",
    )
    parser.add_argument("--data", default="../shared/data/tatoeba-deu-eng.zip", help="English and German (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="models, translations, results.json")
    parser.add_argument("--steps", type=int, default=2500, help="updates of the parameters (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of each framework (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and dropout (%(default)s)")
    parser.add_argument("--held-out", type=int, default=Recipe.held_out, help="pairs to test on (%(default)s)")


def main(options: argparse.Namespace) -> None:
    """Train, evaluate, and print and save the results.

    Raises:
        ValueError, FileNotFoundError, ModuleNotFoundError: the message says what is wrong with the arguments.
        TrainingError: a training ended early.
    """
    if options.threads < 1:
        raise ValueError(f"threads: expected at least 1, got {options.threads}")
    recipe = Recipe(data=options.data, steps=options.steps, seed=options.seed, held_out=options.held_out)
    corpus = Corpus.read(recipe)
    recipe.check_same(options.out)
    frameworks = list(TRAINERS) if options.framework == "both" else [options.framework]
    for framework in frameworks:
        if find_spec(framework) is None:
            raise ModuleNotFoundError(f"framework: {framework} is not installed")
    prepare(recipe, corpus, options.out)
    for framework in frameworks:
        console.err.print(f"{framework}: training with {options.threads} threads")
        train_in_process(framework, options.out, options.threads)
    results = collect(recipe, corpus, options.out)
    console.out.print(table(results["frameworks"]))
    console.out.print("\n".join(results["signatures"].values()))


def prepare(recipe: Recipe, corpus: Corpus, directory: Path) -> None:
    """Write the recipe, the tokens and the first weights."""
    recipe.save(directory)
    tokenizer = Tokenizer.train((text for pair in corpus.train for text in pair), recipe.vocab_size)
    mg.manual_seed(recipe.seed)
    model = Transformer(recipe.model_config(tokenizer))
    model.save_pretrained(directory / INITIAL, tokenizer)
    for side, name in enumerate(("source", "target")):
        lines = "".join(f"{pair[side]}\n" for pair in corpus.held_out)
        replace_file(directory / f"held-out.{name}.txt", lines.encode())
    counts = {**corpus.describe(), "tokens": tokenizer.vocab_size, "parameters": _size(model), "steps": recipe.steps}
    console.err.print(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))


def collect(recipe: Recipe, corpus: Corpus, directory: Path) -> dict[str, Any]:
    """Evaluate every framework's model in the directory; the results are also written there."""
    frameworks: dict[str, Any] = {}
    signatures: Mapping[str, str] = {}
    for framework in TRAINERS:
        record = directory / framework / RECORD
        if record.exists():
            scores = evaluate(directory / framework, corpus.held_out, recipe)
            frameworks[framework] = {**scores.figures, **json.loads(record.read_text("utf-8"))}
            signatures = scores.signatures
    results = {
        "recipe": dataclasses.asdict(recipe),
        "corpus": corpus.describe(),
        "signatures": signatures,
        "frameworks": frameworks,
    }
    replace_file(directory / RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    return results


def _size(model: Transformer) -> int:
    return sum(parameter.size for parameter in model.parameters())
