"""Training in one framework: a process, ``python -m tests.reproduction.training FRAMEWORK DIRECTORY THREADS``.

It begins with the weights in ``DIRECTORY/initial`` and leaves a model directory and ``training.json`` in
``DIRECTORY/FRAMEWORK``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from minigrad.io import replace_file
from tests.benchmarks.peers import thread_settings
from tests.benchmarks.report import machine
from tests.reproduction.corpus import Corpus, batches
from tests.reproduction.recipe import Recipe
from transformer import Transformer, from_pretrained
from transformer.cli import console
from transformer.pretrained import load_tokenizer
from transformer.train import Step

# Where a framework's trainer is: called with our model, batches and a TrainingConfig, it yields steps, and leaves the
# trained weights in the model.
TRAINERS = {
    "minigrad": ("transformer.train", "Trainer"),
    "torch": ("tests.reproduction.torch_twin", "TwinTrainer"),
}
INITIAL, RECORD = "initial", "training.json"
OFTEN = 50  # steps between the losses that are recorded


class TrainingError(Exception):
    """A training process ended early."""


def train_in_process(framework: str, directory: Path, threads: int) -> None:
    """Have a framework train with so many threads, with progress on standard error.

    Raises:
        TrainingError: the training failed; it has said why.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.reproduction.training", framework, str(directory), str(threads)],
        env={**os.environ, **thread_settings(threads)},
        check=False,
    )
    if done.returncode:
        raise TrainingError(f"{framework}: the training ended with status {done.returncode}")


def train(framework: str, directory: Path, threads: int) -> None:
    """Train, and write the model and how it went."""
    recipe = Recipe.load(directory)
    model, tokenizer = from_pretrained(directory / INITIAL), load_tokenizer(directory / INITIAL)
    assert isinstance(model, Transformer)
    data = batches(Corpus.read(recipe).train, tokenizer, recipe)
    module, name = TRAINERS[framework]
    steps: list[Step] = []
    console.watch(
        getattr(import_module(module), name)(model, data, recipe.training_config()), recipe.steps, steps.append
    )
    model.save_pretrained(directory / framework, tokenizer)
    record = {"machine": machine(threads), "batches": data.fingerprint, **summary(steps)}
    replace_file(directory / framework / RECORD, (json.dumps(record, indent=2) + "\n").encode())


def summary(steps: Sequence[Step]) -> dict[str, Any]:
    """Summary of a training: time, tokens, and loss, as means over some steps."""
    steady = steps[1:] or steps  # the first step compiles or loads what the others use
    spans = [steps[start : start + OFTEN] for start in range(0, len(steps), OFTEN)]
    return {
        "steps": len(steps),
        "tokens": sum(step.tokens for step in steps),
        "seconds": sum(step.seconds for step in steps),
        "tokens_per_second": sum(step.tokens for step in steady) / sum(step.seconds for step in steady),
        "losses": [[span[-1].number, sum(step.loss for step in span) / len(span)] for span in spans],
    }


if __name__ == "__main__":
    try:
        train(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    except KeyboardInterrupt:
        sys.exit(130)
