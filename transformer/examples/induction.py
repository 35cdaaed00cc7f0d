"""Induction heads: attention heads that predict the token after the previous occurrence of the present one.

Each sequence is some random tokens, none twice, and then the same tokens again. How many there are differs from
sequence to sequence, so no fixed distance helps: to know what comes next, a model must find where the present token
occurred before, and read the token *after* it. That takes two layers. In the first, a head gives each position the
token before it; in the second, the *induction head* attends to the position whose previous token is the present one.
A single layer can only guess among the tokens it has seen.

The attention weights identify it: the induction score of a head is the mean weight on the token after the
previous occurrence of the present one. Olsson et al., 2022: "In-context Learning and Induction Heads".
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
from transformer.model.attention import record_attention
from transformer.model.config import TransformerConfig
from transformer.plots.style import ACCENT, INK, new_figure, prepare_directory, save_figure, tidy
from transformer.pretrained import CausalLM
from transformer.train import Step, Trainer, TrainingConfig

TOKENS = 64  # with 0 for padding beside them
SHORTEST, LONGEST = 8, 16  # tokens that are repeated
SEQUENCES, HELD_OUT = 20_000, 512
BATCH = 32  # sequences of the greatest length; of shorter ones more
CHECKS = 40  # measurements of the accuracy in a training
PICTURED = 12  # tokens that are repeated in the picture

Weights = np.ndarray[Any, Any]


class Head(NamedTuple):
    """Attention head with its induction score."""

    layer: int  # counted from 1, as is the number
    number: int
    score: float  # mean weight on the token after the previous occurrence, 0 to 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="steps of each model (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory for induction.png")


def run(args: argparse.Namespace) -> None:
    """Run the study: train models of one and two layers, compare them, and find the induction head."""
    if args.out is not None:
        prepare_directory(args.out)
    curves: dict[int, list[tuple[int, float]]] = {}
    for layers in (1, 2):
        model, curves[layers] = train(layers, args.steps, args.seed)
        console.out.print(f"{_named(layers)}: {curves[layers][-1][1]:.2%} of the repeated tokens predicted")
    heads = scores(model, args.seed)
    console.out.print("\nlayer  head  induction score")
    for head in heads:
        console.out.print(f"{head.layer:5}  {head.number:4}  {head.score:15.3f}")
    best = max(heads, key=lambda head: head.score)
    console.out.print(f"\nthe strongest induction head is number {best.number} of layer {best.layer}")
    if args.out is not None:
        draw(curves, *attention(model, best, args.seed), best, args.out / "induction.png")
        console.out.print(f"picture    {args.out / 'induction.png'}")


def train(layers: int, steps: int, seed: int) -> tuple[CausalLM, list[tuple[int, float]]]:
    """Train a model; returns it and its accuracy on held-out sequences after some of the steps."""
    settings = TrainingConfig(
        steps=steps, optimizer="adamw", lr=2e-3, schedule="constant", warmup=50, label_smoothing=0.0, seed=seed
    )
    mg.manual_seed(seed)
    model = CausalLM(
        TransformerConfig.preset(
            "nano",
            vocab_size=TOKENS + 1,
            pad_id=0,
            init_std=None,  # Xavier's: at this width larger than GPT-2's 0.02, and faster to learn from
            d_model=64,
            d_ff=256,
            decoder_layers=layers,
            max_length=2 * LONGEST,
            positions="rotary",  # relative positions, so that the model cannot count absolute ones
        )
    )
    data = batches(repeated(SEQUENCES, SHORTEST, LONGEST, [seed, 0]), seed)
    held_out = batches(repeated(HELD_OUT, SHORTEST, LONGEST, [seed, 1]), seed)
    curve: list[tuple[int, float]] = []

    def record(step: Step) -> None:
        if step.number % max(steps // CHECKS, 1) == 0 or step.number == steps:
            curve.append((step.number, accuracy(model, held_out.epoch(0))))

    console.watch(Trainer(model, data, settings), steps, record)
    return model, curve


def repeated(count: int, shortest: int, longest: int, seed: Sequence[int]) -> list[list[int]]:
    """Repeated sequences: distinct random tokens, and the same tokens again."""
    rng = np.random.default_rng(seed)
    halves = (1 + rng.permutation(TOKENS)[: rng.integers(shortest, longest + 1)] for _ in range(count))
    return [[*half, *half] for half in (half.tolist() for half in halves)]


def batches(sequences: list[list[int]], seed: int) -> SequenceBatches:
    """Batches in which the repetition is predicted, except for its first token."""
    prompts = [len(sequence) // 2 + 1 for sequence in sequences]
    return SequenceBatches(sequences, BATCH * 2 * LONGEST, pad_id=0, seed=seed, prompts=prompts)


def recorded(model: CausalLM, ids: Weights) -> list[Weights]:
    """Record each layer's attention weights (B, H, T, T) on tokens (B, T)."""
    with record_attention(model) as weights, model.evaluating(), mg.no_grad():
        model(ids)
    return [np.asarray(weight.data) for weight in weights.values()]


def scores(model: CausalLM, seed: int) -> list[Head]:
    """Induction scores of all heads, on held-out sequences of the greatest length."""
    layers = recorded(model, np.array(repeated(64, LONGEST, LONGEST, [seed, 2])))
    present = np.arange(LONGEST, 2 * LONGEST)
    return [
        Head(layer, number, float(weights[:, number - 1, present, present - LONGEST + 1].mean()))
        for layer, weights in enumerate(layers, 1)
        for number in range(1, weights.shape[1] + 1)
    ]


def attention(model: CausalLM, head: Head, seed: int) -> tuple[list[int], Weights]:
    """Attention weights (T, T) of a head on a short sequence."""
    (ids,) = repeated(1, PICTURED, PICTURED, [seed, 3])
    return ids, recorded(model, np.array([ids]))[head.layer - 1][0, head.number - 1]


def draw(
    curves: dict[int, list[tuple[int, float]]], ids: Sequence[int], weights: Weights, head: Head, path: Path
) -> None:
    """Draw the accuracies over the steps, and the attention of the induction head."""
    figure = new_figure(12, 5.2)
    left, right = figure.subplots(1, 2)
    for (layers, curve), ink in zip(curves.items(), (ACCENT, INK), strict=True):
        left.plot(*zip(*curve, strict=True), color=ink, linewidth=2, label=_named(layers))
    left.set_ylim(0, 1.02)
    left.set_xlabel("step")
    left.set_ylabel("accuracy on the repeated tokens")
    left.set_title("One layer and two, trained alike")
    tidy(left)
    left.legend(frameon=False)
    image = right.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    right.set_xticks(range(len(ids)), ids, fontsize=7, rotation=90)
    right.set_yticks(range(len(ids)), ids, fontsize=7)
    half = len(ids) // 2
    right.scatter(range(1, half + 1), range(half, 2 * half), s=60, facecolors="none", edgecolors=ACCENT, linewidths=0.8)
    right.set_xlabel("token attended to")
    right.set_ylabel("present token")
    right.set_title(
        f"Layer {head.layer}, head {head.number}: circles mark the token\nafter the previous occurrence; "
        f"score {head.score:.2f}"
    )
    figure.colorbar(image, ax=right, label="attention weight", shrink=0.8)
    save_figure(figure, path)


def _named(layers: int) -> str:
    return f"{layers} layer" if layers == 1 else f"{layers} layers"
