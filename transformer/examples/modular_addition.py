"""Modular addition: a model that first memorises the training set, and generalises long after (grokking).

The model reads ``a b =`` and predicts (a + b) mod p. Of all p² sums it is shown a part, all of them in every step.
Soon it has memorised these: the training accuracy is 100 %, the test accuracy that of
a guess. Under weight decay it goes on to find a solution with smaller weights, which is an algorithm: long after the
training loss has converged, the test accuracy rises as well.

Power et al., 2022: "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets". The sizes of the one
layer and the optimizer are those of Nanda et al., 2023: "Progress Measures for Grokking via Mechanistic
Interpretability"; their layer has ReLU and no norms.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from transformer.cli import console
from transformer.data.batches import SequenceBatches
from transformer.examples.accuracy import accuracy
from transformer.model.config import TransformerConfig
from transformer.plots.style import ACCENT, INK, new_figure, prepare_directory, save_figure, tidy
from transformer.pretrained import CausalLM
from transformer.train import Step, Trainer, TrainingConfig, held_out_loss

CHECKS_PER_DOUBLING = 8  # measurements are evenly spaced on a logarithmic axis
LEARNED = 0.99  # accuracy threshold of having learned


class Check(NamedTuple):
    """Evaluation of a model after a step."""

    step: int
    train_loss: float  # in nats, as is the test loss
    test_loss: float
    train_accuracy: float  # 0 to 1, as is the test accuracy
    test_accuracy: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    parser.add_argument("--steps", default=5000, **number, help="training steps (default: %(default)s)")
    parser.add_argument("--prime", default=59, **number, help="modulus (default: %(default)s)")
    parser.add_argument(
        "--share", type=float, default=0.4, metavar="X", help="training share of all sums (default: %(default)s)"
    )
    parser.add_argument(
        "--weight-decay", type=float, default=1.0, metavar="X", help="weight decay, needed for grokking (default: 1)"
    )
    parser.add_argument("--seed", default=0, **number, help="random seed of weights and split (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory for modular_addition.png")


def run(args: argparse.Namespace) -> None:
    """Run the study: train, and report the steps of memorisation and of generalisation."""
    if args.prime < 2 or any(args.prime % divisor == 0 for divisor in range(2, args.prime)):
        raise ValueError(f"prime: expected a prime number, got {args.prime}")
    if args.out is not None:
        prepare_directory(args.out)
    train, test = (whole(sums, args.prime) for sums in split(args.prime, args.share, args.seed))
    mg.manual_seed(args.seed)
    model = make_model(args.prime)
    # Matrices shrink by lr · weight_decay of themselves in each step: see minigrad.optim.AdamW.
    settings = TrainingConfig(
        steps=args.steps,
        optimizer="adamw",
        lr=1e-3,
        betas=(0.9, 0.98),
        eps=1e-8,
        weight_decay=args.weight_decay,
        schedule="constant",
        warmup=10,
        label_smoothing=0.0,
        clip_norm=None,
        seed=args.seed,
    )
    due = {round(2 ** (n / CHECKS_PER_DOUBLING)) for n in range(CHECKS_PER_DOUBLING * args.steps.bit_length())}
    checks: list[Check] = []

    def record(step: Step) -> None:
        if step.number in due or step.number == args.steps:
            data = (train, test)
            losses = (held_out_loss(model, batches.epoch(0)) for batches in data)
            checks.append(Check(step.number, *losses, *(accuracy(model, batches.epoch(0)) for batches in data)))

    console.watch(Trainer(model, train, settings), args.steps, record)
    say(checks)
    if args.out is not None:
        draw(checks, f"(a + b) mod {args.prime}, trained on {args.share:.0%} of all sums", args.out)


def split(prime: int, share: float, seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Split all sums ``a b = c`` into two random parts; the sign ``=`` is the token after the last number.

    Raises:
        ValueError: a part would be empty.
    """
    sums = [[a, b, prime, (a + b) % prime] for a in range(prime) for b in range(prime)]
    count = round(share * len(sums)) if 0 < share < 1 else 0
    if not 0 < count < len(sums):
        raise ValueError(f"share: expected a part of the {len(sums):,} sums, neither none nor all, got {share}")
    order = np.random.default_rng(seed).permutation(len(sums)).tolist()
    return [sums[place] for place in order[:count]], [sums[place] for place in order[count:]]


def whole(sums: Sequence[Sequence[int]], prime: int) -> SequenceBatches:
    """Full batch of all sums, in which only the result is predicted; no row needs padding."""
    return SequenceBatches(sums, 3 * len(sums), pad_id=prime + 1, prompts=[3] * len(sums))


def make_model(prime: int) -> CausalLM:
    """Make the model: one layer of four heads, width 128."""
    return CausalLM(TransformerConfig.preset("nano", vocab_size=prime + 1, decoder_layers=1, max_length=3, tie="none"))


def learned(checks: Sequence[Check], part: str) -> int | None:
    """First measured step after which the accuracy of a part was ``LEARNED``."""
    return next((check.step for check in checks if getattr(check, f"{part}_accuracy") >= LEARNED), None)


def say(checks: Sequence[Check]) -> None:
    """Report the results, also of a training that was too short."""
    for part in ("train", "test"):
        step = learned(checks, part)
        when = f"not within {checks[-1].step:,} steps" if step is None else f"after {step:,} steps"
        console.out.print(
            f"{part:5}  {LEARNED:.0%} right {when}; at the end {getattr(checks[-1], f'{part}_accuracy'):.2%}, "
            f"loss {getattr(checks[-1], f'{part}_loss'):.2g}"
        )
    memorised, generalised = learned(checks, "train"), learned(checks, "test")
    if memorised is not None and generalised is not None:
        console.out.print(f"generalised {generalised / memorised:.1f} times as late as memorised")


def draw(checks: Sequence[Check], title: str, directory: Path) -> None:
    """Draw accuracies and losses over the steps."""
    figure = new_figure(12, 4.6)
    left, right = figure.subplots(1, 2)
    steps = [check.step for check in checks]
    for axes, what in ((left, "accuracy"), (right, "loss")):
        for part, ink in (("train", ACCENT), ("test", INK)):
            axes.plot(steps, [getattr(check, f"{part}_{what}") for check in checks], color=ink, linewidth=2, label=part)
        axes.set_xscale("log")
        axes.set_xlabel("step")
        tidy(axes)
    left.set_ylabel("accuracy")
    left.set_ylim(0, 1.02)
    left.set_title(title)
    left.legend(frameon=False)
    right.set_yscale("log")
    right.set_ylabel("loss, nats")
    right.set_title("Cross-entropy of the result")
    save_figure(figure, directory / "modular_addition.png")
    console.out.print(f"picture    {directory / 'modular_addition.png'}")
