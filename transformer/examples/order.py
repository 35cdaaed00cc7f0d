"""Order of tokens: sorting and reversing, learned with each position encoding and with none.

A source is some of 32 tokens, none twice. Its target is the same tokens sorted, which a set is enough for, or reversed,
which takes their order. An encoder-decoder of one layer each learns the one or the other with sources of 4 to 12
tokens. The table has the share of target tokens (the end included) that it predicts in new sources of 12 tokens, and of
twice as many; and the largest change of a probability when the source's tokens are shuffled, and the target is not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np

import minigrad as mg
from transformer.cli import console
from transformer.data.batches import EncodedPair, PairBatches
from transformer.examples.accuracy import accuracy
from transformer.model.config import Positions, TransformerConfig
from transformer.pretrained import Transformer
from transformer.train import Step, Trainer, TrainingConfig

PAD, BOS, EOS, FIRST = range(4)
TOKENS = 32
SHORTEST, LONGEST = 4, 12
PAIRS, HELD_OUT, BATCH = 20_000, 200, 512
TASKS: dict[str, Callable[[list[int]], list[int]]] = {"sorting": sorted, "reversing": lambda source: source[::-1]}
SCHEMES = [name for name in reversed(get_args(Positions)) if not name.startswith(("sinusoidal_", "learned_"))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=600, metavar="N", help="steps of each model (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: a row for each scheme."""
    lengths = f"{LONGEST:8}{2 * LONGEST:8} "
    console.out.print(f"{'':11}{'sorting':>16} {'reversing':>16}    source\npositions  {2 * lengths}  shuffled")
    for scheme in SCHEMES:
        cells = []
        for task in TASKS:
            model = train(scheme, task, args.steps, args.seed)
            for length in (LONGEST, 2 * LONGEST):
                held_out = batches(pairs(task, HELD_OUT, length, length, [args.seed, length]), args.seed)
                cells.append(f"{accuracy(model, held_out.epoch(0)):8.1%}")
        change = change_when_shuffled(model, args.seed)
        console.out.print(f"{scheme:11}{cells[0]}{cells[1]} {cells[2]}{cells[3]} {change:9.3f}")


def pairs(task: str, count: int, shortest: int, longest: int, seed: Sequence[int]) -> list[EncodedPair]:
    """Random sources, and their targets, each with its end."""
    rng = np.random.default_rng(seed)
    sources = [(FIRST + rng.permutation(TOKENS)[: rng.integers(shortest, longest + 1)]).tolist() for _ in range(count)]
    return [([*source, EOS], [*TASKS[task](source), EOS]) for source in sources]


def batches(examples: list[EncodedPair], seed: int) -> PairBatches:
    """Batches of pairs."""
    return PairBatches(examples, BATCH, PAD, BOS, seed)


def train(scheme: str, task: str, steps: int, seed: int) -> Transformer:
    """Train a model."""
    mg.manual_seed(seed)
    config = {"positions": scheme, "d_model": 64, "d_ff": 256, "encoder_layers": 1, "decoder_layers": 1}
    model = Transformer(
        TransformerConfig.from_fields({**config, "vocab_size": FIRST + TOKENS, "norm_first": True, "dropout": 0.0})
    )
    settings = TrainingConfig(
        steps=steps, lr=4e-3, schedule="cosine", warmup=min(steps, 50), label_smoothing=0.0, seed=seed
    )
    data = batches(pairs(task, PAIRS, SHORTEST, LONGEST, [seed, 0]), seed)
    console.watch(Trainer(model, data, settings), steps, _ignore)
    return model


def _ignore(step: Step) -> None:
    """Callback that ignores a step."""


def change_when_shuffled(model: Transformer, seed: int) -> float:
    """Largest change of a probability when the tokens of the sources are shuffled."""
    (batch,) = batches(pairs("reversing", HELD_OUT // 10, LONGEST, LONGEST, [seed, 1]), seed).epoch(0)
    source, target = batch.inputs
    shuffled = np.random.default_rng([seed, 2]).permuted(source[:, :LONGEST], axis=1)
    with model.evaluating(), mg.no_grad():
        before, after = (
            mg.softmax(model(ids, target), axis=-1).numpy()
            for ids in (source, np.concatenate([shuffled, source[:, LONGEST:]], axis=1))
        )
    return float(np.abs(before - after).max())
