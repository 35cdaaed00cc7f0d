"""``transformer demo`` and ``transformer train``: commands that make models."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from transformer import console, demo
from transformer.cli.data import add_data, choice_of
from transformer.cli.parser import Parser, add_command, described
from transformer.cli.settings import add_settings, settings_of
from transformer.tasks import TASKS, train


def add_demo(commands: Any) -> None:
    text = (
        "Train a translator of dates, numbers, names and units on this CPU and picture its attention. Takes some four "
        "minutes on two cores. Needs no files: the phrases are those that the Unicode CLDR translates."
    )
    parser = add_command(commands, "demo", _run_demo, text)
    config = demo.DemoConfig()
    parser.add_argument(
        "--from", dest="source", default=config.source, metavar="LANG", help="language to translate (default: en)"
    )
    parser.add_argument(
        "--to", dest="target", default=config.target, metavar="LANG", help="language to translate into (default: de)"
    )
    parser.add_argument(
        "--out", type=Path, default=config.out, metavar="DIR", help="where the results go (default: demo)"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=config.count,
        metavar="N",
        help=f"phrase pairs to generate (default: {config.count})",
    )
    parser.add_argument(
        "--held-out", type=int, default=config.held_out, metavar="N", help="of these, for the test (default: 1000)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    add_settings(parser, demo.DEFAULTS)


def _run_demo(args: argparse.Namespace) -> None:
    config = {f.name: getattr(args, f.name) for f in dataclasses.fields(demo.DemoConfig) if f.name in vars(args)}
    demo.run(demo.DemoConfig(**config), settings_of(args, demo.DEFAULTS))


def add_train(commands: Any) -> None:
    text = "Train a model. It is written to a directory, with a log of each step and checkpoints to resume from."
    parser = add_command(commands, "train", _run_train, text)
    tasks = parser.add_subparsers(title="tasks", dest="task", required=True, metavar="TASK", parser_class=Parser)
    for task in TASKS.values():
        aim = task.aim[0].lower() + task.aim[1:]
        text = f"Train a model to {aim}. Ctrl-C stops the training and keeps what was learned; --resume goes on."
        one = described(tasks, task.name, aim, f"train {task.name}", text)
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model directory to write")
        one.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
        one.add_argument("--overwrite", action="store_true", help="begin anew where there is a model in --out")
        one.add_argument("--tensorboard", type=Path, metavar="DIR", help="write TensorBoard's event files there, too")
        add_data(one, task)
        add_settings(one, task.defaults)


def _run_train(args: argparse.Namespace) -> None:
    task = TASKS[args.task]
    choice, settings = choice_of(args), settings_of(args, task.defaults)
    with console.doing(f"reading {' '.join(choice.data)}"):
        examples = task.read(choice)
    trained = train(
        task,
        examples,
        choice,
        settings,
        args.out,
        resume=args.resume,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
    )
    if held_out := trained.examples.held_out:
        report = task.evaluate(trained.model, trained.tokenizer, held_out, {})
        console.out.print(f"held out: {report.line}")
    console.out.print(f"model in {args.out}")
