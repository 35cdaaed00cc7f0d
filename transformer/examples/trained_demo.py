"""Trained demo: the translator that ``transformer demo`` leaves, with phrases that it has not seen."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from transformer.data.batches import PairBatches
from transformer.data.parallel import Pair
from transformer.data.tokenizer import Tokenizer
from transformer.pretrained import Transformer, load_both
from transformer.tasks import TASK, TASKS, read_task

BATCH = 1024  # tokens


class Demo(NamedTuple):
    """Trained translator with held-out phrases."""

    model: Transformer
    tokenizer: Tokenizer
    train: Sequence[Pair]  # what it has learned from
    phrases: Sequence[Pair]  # held out
    batches: PairBatches  # of the phrases


def add_arguments(parser: argparse.ArgumentParser, phrases: int) -> None:
    """Add the options of an experiment on the demo's model."""
    parser.add_argument(
        "--model", type=Path, default=Path("demo/model"), metavar="DIR", help="model of the demo (default: %(default)s)"
    )
    parser.add_argument("--phrases", type=int, default=phrases, metavar="N", help="held-out phrases (%(default)s)")


def load(directory: Path, phrases: int) -> Demo:
    """Load the demo's model, and the first of the phrases that its training held out.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: it is not one of the demo's, or ``phrases`` is not positive.
    """
    if phrases < 1:
        raise ValueError(f"phrases: expected at least 1, got {phrases}")
    if not (directory / TASK).exists():
        raise FileNotFoundError(f"model: no {directory / TASK}; `transformer demo` trains the model first")
    name, choice = read_task(directory)
    model, tokenizer = load_both(directory)
    if not isinstance(model, Transformer) or not choice.data[0].startswith("cldr:"):
        raise ValueError(f"model: expected one that `transformer demo` has trained, got one to {name} {choice.data[0]}")
    task = TASKS[name]
    examples = task.read(choice)
    held_out = examples.held_out[:phrases]
    batches = task.batches(held_out, tokenizer, model.config, BATCH, seed=0)
    assert isinstance(batches, PairBatches)
    return Demo(model, tokenizer, examples.train, held_out, batches)
