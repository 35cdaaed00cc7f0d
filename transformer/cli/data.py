"""Data options: the examples to train on, or to evaluate."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from transformer.tasks import DataChoice, Task
from transformer.tasks.corpora import NAMES
from transformer.tasks.task import DATA_SETTINGS

OPTIONS = {  # fields of a DataChoice beside its data
    "reverse": "swap the two sides of pairs",
    "split_seed": "random seed of the held-out split (default: 0)",
    "skip_bad": "skip bad lines, and report their number",
    "source_language": "language of the sources, with --from a model that knows several: its token, such as fra_Latn",
    "target_language": "language of the targets",
}
KINDS: dict[type, dict[str, Any]] = {
    bool: {"action": argparse.BooleanOptionalAction},
    int: {"type": int, "metavar": "N"},
    str: {"metavar": "NAME"},
}


def add_data(parser: argparse.ArgumentParser, task: Task[Any] | None) -> Any:
    """Add data options; without a task their defaults are those of the model's training."""
    group = parser.add_argument_group("data")
    otherwise = "as in the model's training"
    names, unit, options = NAMES.get(task.name, "") if task else "", "examples", tuple(OPTIONS)
    default: str | int = otherwise
    data: tuple[str, ...] | None = None
    if task is not None:
        data, default, unit, options = task.defaults.data, task.defaults.held_out, task.held_out_unit, task.options
    shown = "" if data == () else f" (default: {' '.join(data) if data else otherwise})"
    group.add_argument(
        "--data",
        nargs="+",
        required=data == (),
        default=data or None,
        metavar="FILE",
        help=f"files (plain, .gz, or a .zip holding one), or a corpus by name{f': {names}' if names else ''}{shown}",
    )
    group.add_argument(
        "--held-out",
        type=int,
        default=task.defaults.held_out if task else None,
        metavar="N",
        help=f"{unit} held out from training (default: {default})",
    )
    for name in options:
        option = f"--{name.replace('_', '-')}"
        group.add_argument(option, default=None, help=OPTIONS[name], **KINDS[DATA_SETTINGS[name]])
    return group


def choice_of(args: argparse.Namespace, before: DataChoice | None = None) -> DataChoice:
    names = [field.name for field in dataclasses.fields(DataChoice)]
    values = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    if "data" in values:
        values["data"] = tuple(values["data"])
    return dataclasses.replace(before, **values) if before else DataChoice(**values)
