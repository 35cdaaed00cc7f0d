"""Bad batch: language models that meet one broken batch in their training, with gradient clipping and without.

In the broken batch every label is one rare character, as after a fault in the data. `norm` is the norm of all
gradients in that step, `usual` the median of the steps before it; then come the held-out losses in nats a character:
before the step, after it, ten steps later, and at the end. The second table has the parameters' shares of the squared
norm, in the mean of the steps before the broken batch, and in its step. Pascanu, Mikolov and Bengio, 2013, section 3.2.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np

import minigrad as mg
from transformer.cli import console
from transformer.data.batches import Batch, Data
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM
from transformer.tasks import TASKS, DataChoice
from transformer.train import Step, Trainer, TrainingConfig, held_out_loss

LENGTH, BATCH_TOKENS, LATER = 32, 1024, 10
RATES = {"sgd": 0.5, "adam": 3e-3}  # learning rates
LIMITS: tuple[dict[str, float | None], ...] = (
    {"clip_norm": None},
    {"clip_norm": 1.0},
    {"clip_norm": None, "clip_value": 0.01},
)
GROUPS = {  # of parameters, by a pattern of their names
    "token embedding": r"tokens\.",
    "queries and keys": r"attention\.(query|key)\.",
    "values and output": r"attention\.(value|output)\.",
    "feed-forward": r"feed_forward\.\w+\.(weight|bias)",
    "norms": r"norm\.",
}


class WithBadBatch:
    """Batches of which one has the same label everywhere."""

    def __init__(self, data: Data, place: int, label: int) -> None:
        self.data, self.place, self.label = data, place, label

    def epoch(self, number: int) -> Iterator[Batch]:
        for place, batch in enumerate(self.data.epoch(number)):
            bad = place == self.place and not number
            yield Batch(batch.inputs, np.full_like(batch.labels, self.label)) if bad else batch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: a row for each optimizer and limit, and a table of the parameters."""
    if args.steps <= 2 * LATER:
        raise ValueError(f"steps: expected more than {2 * LATER}, got {args.steps}")
    task = TASKS["generate"]
    examples = task.read(DataChoice(data=("topics",), held_out=5))
    tokenizer = task.learn_tokens(examples, 0)
    rare = tokenizer.vocab_size - 1
    bad = args.steps // 2
    console.out.print("                        steps      norm            loss")
    console.out.print("optimizer  limit      clipped     usual       bad  before   after   later     end")
    for optimizer, rate in RATES.items():
        for limit in LIMITS:
            mg.manual_seed(args.seed)
            model = make_model(tokenizer.vocab_size)
            data = task.batches(examples.train, tokenizer, model.config, BATCH_TOKENS, args.seed)
            held_out = list(
                task.held_out_batches(examples.held_out, tokenizer, model.config, BATCH_TOKENS, 0).epoch(0)
            )[:20]
            settings = TrainingConfig(
                steps=args.steps,
                optimizer=optimizer,
                lr=rate,
                schedule="constant",
                warmup=20,
                label_smoothing=0.0,
                seed=args.seed,
                **limit,  # type: ignore[arg-type]
            )
            trainer = Trainer(model, WithBadBatch(data, bad - 1, rare), settings)
            steps: list[Step] = []
            losses: list[float] = []
            for step in trainer:
                steps.append(step)
                if step.number in (bad - 1, bad, bad + LATER, args.steps):
                    losses.append(held_out_loss(model, held_out))
            report(optimizer, limit, steps, bad, losses)
    shares(trainer.parameter_names, steps, bad)


def report(optimizer: str, limit: dict[str, Any], steps: list[Step], bad: int, losses: list[float]) -> None:
    """Print the row of a training."""
    name = next((f"{key[5:]} {value:g}" for key, value in limit.items() if value is not None), "none")
    clipped = np.mean([step.clip_factor < 1 or any(step.clipped_shares) for step in steps])
    usual = statistics.median(step.gradient_norm for step in steps[: bad - 1])
    norms = f"{usual:9.2f} {steps[bad - 1].gradient_norm:9.2f}"
    console.out.print(f"{optimizer:9}  {name:10} {clipped:7.0%} {norms} {' '.join(f'{loss:7.3f}' for loss in losses)}")


def shares(names: list[str], steps: list[Step], bad: int) -> None:
    """Print the shares of the squared norm."""
    squares = np.array([step.gradient_norms for step in steps[:bad]]) ** 2
    squares /= squares.sum(1, keepdims=True)
    console.out.print("\nshare of the squared norm    usual     bad")
    for group, pattern in GROUPS.items():
        members = squares[:, [bool(re.search(pattern, name)) for name in names]].sum(1)
        console.out.print(f"{group:25} {members[:-1].mean():8.1%}{members[-1]:8.1%}")


def make_model(vocab_size: int) -> CausalLM:
    """Make the model: two layers."""
    sizes: dict[str, Any] = {"d_model": 64, "num_heads": 4, "d_ff": 256, "decoder_layers": 2, "max_length": LENGTH}
    special: dict[str, Any] = {"pad_id": None, "bos_id": None, "eos_id": None}
    return CausalLM(TransformerConfig(vocab_size=vocab_size, norm_first=True, dropout=0.0, **sizes, **special))
