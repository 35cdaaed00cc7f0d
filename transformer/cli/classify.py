"""``transformer classify``: the labels of texts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from transformer.cli.model import add_model, add_quantize, load_for
from transformer.cli.parser import add_command
from transformer.cli.standard_input import input_lines
from transformer.tasks import TASKS, Prediction, classify

LIKELY = 0.5  # least probability of a label, where a text may have several


def add_classify(commands: Any) -> None:
    text = "Classify texts. They are arguments, or lines of standard input; each gives a line, label and probability."
    parser = add_command(commands, "classify", _run_classify, text)
    add_model(parser)
    add_quantize(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text")
    text = "labels to list for each text (default: the likeliest, or the likely ones where a text may have several)"
    parser.add_argument("--count", type=int, metavar="N", help=text)


def _run_classify(args: argparse.Namespace) -> None:
    model, tokenizer = load_for(args.model, TASKS["classify"], args.quantize)
    labels = len(model.config.labels)
    if args.count is not None and not 1 <= args.count <= labels:
        raise ValueError(f"count: expected 1 to {labels}, got {args.count}")
    groups: Iterable[list[str]] = (
        [args.texts] if args.texts else ([line.rstrip("\n") for line in lines] for lines in input_lines())
    )
    found = 0
    for texts in groups:
        for predictions in classify(model, tokenizer, texts):
            print("\t".join(_shown(model.config.problem, predictions, args.count)), flush=True)
        found += len(texts)
    if not found:
        raise ValueError("texts: expected some text, got none")


def _shown(problem: str, predictions: list[Prediction], count: int | None) -> Iterable[str]:
    if count is not None:
        predictions = predictions[:count]
    elif problem == "single_label_classification":
        predictions = predictions[:1]
    elif problem == "multi_label_classification":
        predictions = [one for one in predictions if one.probability >= LIKELY]
    return (part for one in predictions for part in (one.label, f"{one.probability:.4f}"))
