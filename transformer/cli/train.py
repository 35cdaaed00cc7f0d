"""``transformer train``: the training command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigrad.distributed import world
from transformer.cli import console
from transformer.cli.config_file import CONFIG_FILE, add_config, config_document
from transformer.cli.data import add_data, choice_of
from transformer.cli.parser import Parser, add_command, described
from transformer.cli.settings import add_fine_tuning, add_settings, settings_of
from transformer.tasks import TASKS, save_scores, train
from transformer.train.signals import survive_requests


def add_train(commands: Any) -> None:
    text = "Train a model. Its directory also gets a log of each step and checkpoints to resume from."
    parser = add_command(commands, "train", _run_train, text)
    tasks = parser.add_subparsers(title="tasks", dest="task", required=True, metavar="TASK", parser_class=Parser)
    for task in TASKS.values():
        aim = task.aim[0].lower() + task.aim[1:]
        text = f"Train a model to {aim}. Ctrl-C stops the training and saves the model; --resume continues it."
        one = described(tasks, task.name, aim, f"train {task.name}", text)
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="model directory to write")
        add_config(one)
        one.add_argument("--resume", action="store_true", help="resume from the checkpoint in --out")
        one.add_argument("--overwrite", action="store_true", help="replace a model in --out")
        one.add_argument("--tensorboard", type=Path, metavar="DIR", help="directory of TensorBoard event files")
        text = "timeline of the last steps on all ranks, for chrome://tracing or ui.perfetto.dev: a .json file"
        one.add_argument("--trace", type=Path, metavar="FILE", help=text)
        add_data(one, task)
        add_fine_tuning(one)
        add_settings(one, task.defaults)


def _run_train(args: argparse.Namespace) -> None:
    survive_requests()
    task = TASKS[args.task]
    choice, settings = choice_of(args), settings_of(args, task.defaults, args.pretrained)
    trained = train(
        task,
        choice,
        settings,
        args.out,
        resume=args.resume,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
        trace=args.trace,
        reporter=console,
        companions={CONFIG_FILE: config_document(task, args, choice, settings)},
    )
    if held_out := trained.examples.held_out:
        group = world()
        report = task.evaluate(trained.model, trained.tokenizer, held_out, {}, console.counting, group)
        group.on_first(lambda: save_scores(args.out, report))
        console.out.print(f"held out: {report.line}")
    console.out.print(f"model in {args.out}")
