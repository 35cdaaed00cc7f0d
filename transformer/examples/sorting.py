"""Sorting: a minimal task for a GPT, with an exact answer.

The model reads six digits and continues with the same digits in order: ``2 0 1 1 0 2`` → ``0 0 1 1 2 2``.
A quarter of all inputs, chosen by a hash, is held out from training, so a correct answer there is not
memorised. This is the demonstration of Karpathy's minGPT (``demo.ipynb``): its gpt-nano, optimizer and 2,000 steps.
"""

from __future__ import annotations

import argparse
import zlib
from itertools import product
from typing import Any

import numpy as np

import minigrad as mg
from transformer.cli import console
from transformer.data.batches import SequenceBatches
from transformer.decode import generate
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM
from transformer.train import Step, Trainer, TrainingConfig

DIGITS, LENGTH = 3, 6
BATCH = 64
QUESTIONS = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, batches and questions")


def split() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Split all 3⁶ inputs (N, 6) into a training and a held-out part."""
    inputs = np.array(list(product(range(DIGITS), repeat=LENGTH)), np.uint8)
    held_out = np.array([zlib.crc32(row.tobytes()) % 4 == 0 for row in inputs])
    return inputs[~held_out].astype(np.int64), inputs[held_out].astype(np.int64)


def make_model() -> CausalLM:
    """Make the model: minGPT's gpt-nano."""
    sizes = {"d_model": 48, "num_heads": 3, "d_ff": 192, "decoder_layers": 3, "max_length": 2 * LENGTH - 1}
    return CausalLM(TransformerConfig.preset("nano", vocab_size=DIGITS, tie="none", dropout=0.1, **sizes))


def run(args: argparse.Namespace) -> None:
    """Run the study: train, then test."""
    train, held_out = split()
    sequences = np.concatenate([train, np.sort(train)], axis=1).tolist()
    # The unsorted digits are the prompt; only the sorted ones are predicted.
    data = SequenceBatches(
        sequences, BATCH * (2 * LENGTH - 1), pad_id=DIGITS, seed=args.seed, prompts=[LENGTH] * len(sequences)
    )
    settings = TrainingConfig(
        steps=args.steps,
        optimizer="adamw",
        lr=5e-4,
        betas=(0.9, 0.95),
        eps=1e-8,
        weight_decay=0.1,
        schedule="constant",
        warmup=1,
        label_smoothing=0.0,
        seed=args.seed,
    )
    mg.manual_seed(args.seed)
    model = make_model()
    steps: list[Step] = []
    console.watch(Trainer(model, data, settings), args.steps, steps.append)

    questions = np.random.default_rng(args.seed).choice(held_out, QUESTIONS)
    answers = [hypothesis.ids for hypothesis in generate(model, questions, max_new_tokens=LENGTH)]
    right = [answer == sorted(question) for question, answer in zip(questions.tolist(), answers, strict=True)]
    for question, answer in zip(questions[:5].tolist(), answers, strict=False):
        console.out.print(f"{_shown(question)} → {_shown(answer)}")
    parameters = sum(parameter.size for parameter in model.parameters())
    console.out.print(
        f"sorted {sum(right)}/{len(right)} questions drawn from the {len(held_out)} inputs that were not trained on   "
        f"loss {steps[-1].loss:.4f}   {parameters:,} parameters, {args.steps:,} steps, seed {args.seed}"
    )


def _shown(digits: list[int]) -> str:
    return " ".join(map(str, digits))
