"""``transformer fill``, ``evaluate`` and ``draw``: commands that inspect a model."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigrad.distributed import world
from transformer.cli import console
from transformer.cli.data import OPTIONS, add_data, choice_of
from transformer.cli.model import add_model, add_quantize, load, load_for
from transformer.cli.options import SEARCH, add_options, given, search
from transformer.cli.parser import add_command
from transformer.data.tokenizer import PLACEHOLDER
from transformer.decode import GenerationConfig
from transformer.tasks import (
    TASK,
    TASKS,
    Candidate,
    DataChoice,
    Examples,
    TextToText,
    digest,
    files_among,
    fill,
    is_trusted,
    read_task,
)

SPLIT = ("held_out", "split_seed", "reverse")  # of a DataChoice: what divides other data


def add_fill(commands: Any) -> None:
    text = f"Fill in missing words. Each {PLACEHOLDER} of a text gets its likeliest tokens, with their probabilities."
    parser = add_command(commands, "fill", _run_fill, text)
    add_model(parser)
    add_quantize(parser)
    parser.add_argument("text", metavar="TEXT", help=f"text with {PLACEHOLDER}")
    parser.add_argument("--count", type=int, default=5, metavar="N", help="candidates to list (default: 5)")


def _run_fill(args: argparse.Namespace) -> None:
    model, tokenizer = load_for(args.model, TASKS["fill"], args.quantize)
    text = args.text.replace(tokenizer.special_names.get("mask", PLACEHOLDER), PLACEHOLDER)
    for number, candidates in enumerate(fill(model, tokenizer, text, args.count)):
        if number:
            print()
        _print_candidates(text, number, candidates)


def _print_candidates(text: str, number: int, candidates: list[Candidate]) -> None:
    parts = text.split(PLACEHOLDER)
    before, after = PLACEHOLDER.join(parts[: number + 1]), PLACEHOLDER.join(parts[number + 1 :])
    for candidate in candidates:
        word = candidate.text.strip() or repr(candidate.text)
        print(f"{candidate.probability:6.1%}  {before}{word}{after}")


def add_evaluate(commands: Any) -> None:
    text = "Evaluate a model on held-out examples. A model directory written by training names them."
    parser = add_command(commands, "evaluate", _run_evaluate, text)
    add_model(parser)
    add_quantize(parser)
    parser.add_argument("--task", choices=list(TASKS), help="task to evaluate (default: the task of its training)")
    group = add_data(parser, None)
    group.add_argument("--all", action="store_true", help="score every example of --data, as a separate test set")
    add_options(parser.add_argument_group("search"), GenerationConfig, SEARCH, None)


def _run_evaluate(args: argparse.Namespace) -> None:
    if args.all and args.data is None:
        raise ValueError("all: expected --data beside it, as the model has learned from the data of its training")
    if args.all:
        args.held_out = 0  # no split
    complete = args.task is not None and args.data is not None and args.held_out is not None
    if complete and not (args.model / TASK).exists():
        task, choice = TASKS[args.task], choice_of(args)
    else:
        name, before = read_task(args.model)
        if (args.task or name) not in TASKS:
            raise ValueError(f"{args.model / TASK}: task: expected one of {', '.join(TASKS)}, got {name!r}")
        task, choice = TASKS[args.task or name], choice_of(args, before)
        if args.data is None:
            _check_named_files(args.model, before.data)
        if before.held_out_digests is None and not args.all:
            console.say(f"{args.model / TASK} does not list the held-out examples; they are drawn again")
    useless = [name for name in OPTIONS if getattr(args, name) is not None and name not in task.options]
    if not isinstance(task, TextToText):
        useless += given(args, SEARCH)
    if useless:
        raise ValueError(f"{useless[0]}: changes nothing where the task is to {task.name}; expected none")
    model, tokenizer = load(args.model, task, args.quantize)
    tokenizer = task.prepare(model, tokenizer, choice)
    with console.doing(f"reading {' '.join(choice.data)}"):
        examples = task.readable(task.read(choice), tokenizer, model.config, skip_bad=choice.skip_bad)
    for note in examples.notes:
        console.say(note)
    if not (chosen := _scored(args, choice, examples)):
        raise ValueError("held_out: expected at least 1, got 0")
    console.out.print(task.evaluate(model, tokenizer, chosen, search(args), console.counting, world()).line)


def _scored(args: argparse.Namespace, choice: DataChoice, examples: Examples[Any]) -> Sequence[Any]:
    """Examples to score: those that the training held out, found by their digests, or those of other data.

    Raises:
        ValueError: they are not all there, or others of the training's data are asked for, which it learned from.
    """
    digests = choice.held_out_digests
    if digests is None:
        return examples.train if args.all else examples.held_out
    present = {digest(example): example for example in (*examples.train, *examples.held_out)}
    missing = sum(name not in present for name in digests)
    if args.all:
        if digests and not missing and len(present) > len(digests):
            console.say("these data contain the held-out examples of the training, and so also its training examples")
        return examples.train
    asked = [name for name in SPLIT if getattr(args, name) is not None]
    if asked and (args.data is None or not missing):
        raise ValueError(f"{asked[0]}: the examples that the training held out are scored; expected none")
    if asked:
        console.say("these are other data than the training's; some of them may have been learned from all the same")
        return examples.held_out
    if missing:
        raise ValueError(
            f"data: {missing:,} of the {len(digests):,} examples that the training held out are not in "
            f"{' '.join(choice.data)}; a test set is scored by --data FILE --all"
        )
    return [present[name] for name in digests]


def _check_named_files(directory: Path, data: Sequence[str]) -> None:
    """Refuse files that a directory names, unless a training of this user recorded them, and they are regular files."""
    if not (files := files_among(data)):
        return
    if not is_trusted(directory):
        raise ValueError(
            f"data: {directory / TASK} names {' '.join(files)}, and was not written by a training of yours on this "
            f"machine; --data {shlex.join(data)} reads it all the same"
        )
    for name in files:
        if Path(name).exists() and not Path(name).is_file():
            raise ValueError(f"data: {name}, which {directory / TASK} names, is no file; --data gives another one")
