"""Recipe: learning-rate schedules measured in small trainings, and the trained demo's search and its certainty.

The first table has the held-out losses, in nats a character, of language models of six layers, with the norm behind
each sublayer, as in the paper, and with the norm before it. All schedules have the same peak.

For each number of beams the second table has the share of the demo's translations that equal their reference, the mean
log-probability of a translation, and the wrong ones, in two kinds: if the model gives the reference a higher
probability than what was found, the search has missed it; if a lower one, the model is wrong (Stahlberg and Byrne,
2019: "On NMT search errors and model errors").

The third has the probabilities of the likeliest tokens, given the reference up to there: label smoothing teaches the
model not to exceed 1 − ε + ε / V.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import minigrad as mg
from transformer.cli import console
from transformer.data.batches import IGNORED, PairBatches, pad
from transformer.decode import generate
from transformer.examples import residuals, trained_demo
from transformer.examples.trained_demo import Demo
from transformer.tasks import TASKS, DataChoice
from transformer.train import Trainer, TrainingConfig, held_out_loss

PEAK = 2e-3
WARMUPS = (("constant", 0), ("constant", 1 / 3), ("noam", 1 / 3), ("linear", 1 / 3))  # and the share of the steps
BEAMS = (1, 2, 4, 8)
ROUNDING = 1e-3  # nats

Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    trained_demo.add_arguments(parser, phrases=500)
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: a table of schedules, one of beams, and one of probabilities."""
    demo = trained_demo.load(args.model, args.phrases)
    schedules(args.steps, args.seed)
    beams(demo)
    right, probabilities = likeliest(demo)
    smoothing = TrainingConfig(steps=1).label_smoothing
    most = 1 - smoothing + smoothing / demo.model.config.vocab_size
    console.out.print("\nlikeliest token")
    console.out.print(f"right          {right.mean():8.2%}")
    console.out.print(f"probability    {probabilities.mean():8.2%}")
    console.out.print(f"its median     {np.median(probabilities):8.2%}")
    console.out.print(f"1 − ε + ε / V  {most:8.2%}")


def schedules(steps: int, seed: int) -> None:
    """Print the table of schedules."""
    task = TASKS["generate"]
    examples = task.read(DataChoice(data=("topics",), held_out=5))
    tokenizer = task.learn_tokens(examples, 0)
    tokens = residuals.BATCH_TOKENS
    console.out.print("schedule    warm-up  norm behind  norm before")
    for schedule, warmup in WARMUPS:
        steps_up = max(1, round(warmup * steps))
        losses = []
        for norm_first in (False, True):
            mg.manual_seed(seed)
            model = residuals.make_model(tokenizer.vocab_size, norm_first, None, "")
            data = task.batches(examples.train, tokenizer, model.config, tokens, seed)
            held_out = task.held_out_batches(examples.held_out, tokenizer, model.config, tokens, seed)
            settings = TrainingConfig(
                steps=steps, schedule=schedule, lr=PEAK, warmup=steps_up, label_smoothing=0.0, seed=seed
            )
            console.watch(Trainer(model, data, settings), steps, lambda step: None)
            losses.append(held_out_loss(model, held_out.epoch(0)))
        console.out.print(f"{schedule:12} {steps_up:6} {losses[0]:12.3f} {losses[1]:12.3f}")


def beams(demo: Demo) -> None:
    """Print the table of beams."""
    references = reference_log_probabilities(demo)
    ids = pad(demo.tokenizer.encode([source for source, _ in demo.phrases]), demo.model.config.pad_id or 0)
    console.out.print("\n                        wrong, and the reference")
    console.out.print("beams   exact    log P    likelier  less likely")
    for count in BEAMS:
        found = generate(demo.model, ids, tokenizer=demo.tokenizer, num_beams=count, length_penalty=0.0)
        wrong = np.array([text.text != target for text, (_, target) in zip(found, demo.phrases, strict=True)])
        scores = np.array([text.log_probability for text in found])
        missed = wrong & (references > scores + ROUNDING)
        console.out.print(
            f"{count:5} {1 - wrong.mean():7.1%} {scores.mean():8.3f} {missed.sum():11} {(wrong & ~missed).sum():12}"
        )


def reference_log_probabilities(demo: Demo) -> Array:
    """Log-probability of each reference, with its end."""
    sources, targets = (demo.tokenizer.encode([pair[side] for pair in demo.phrases]) for side in (0, 1))
    config = demo.model.config
    batches = PairBatches(list(zip(sources, targets, strict=True)), 1, config.pad_id or 0, config.bos_id or 0)
    found = []
    with demo.model.evaluating(), mg.no_grad():
        for pair in batches.pairs:
            batch = batches.batch([pair])
            log_probabilities = mg.log_softmax(demo.model(*batch.inputs), -1).numpy()[0]
            found.append(np.take_along_axis(log_probabilities, batch.labels[0][:, None], 1).sum())
    return np.array(found)


def likeliest(demo: Demo) -> tuple[Array, Array]:
    """Likeliest token of each position of the references: if it is right, and its probability."""
    right, probabilities = [], []
    with demo.model.evaluating(), mg.no_grad():
        for batch in demo.batches.epoch(0):
            found, real = mg.softmax(demo.model(*batch.inputs), -1).numpy(), batch.labels != IGNORED
            right.append((found.argmax(-1) == batch.labels)[real])
            probabilities.append(found.max(-1)[real])
    return np.concatenate(right), np.concatenate(probabilities)
