"""``transformer info``: architecture, parameters, training, data and scores of a model directory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.text import Text

from transformer.cli import console
from transformer.cli.parser import add_command
from transformer.tasks import model_info


def add_info(commands: Any) -> None:
    text = "Describe a model directory: its architecture, parameters, training, data and scores."
    parser = add_command(commands, "info", _run_info, text)
    parser.add_argument("model", type=Path, metavar="DIR", help="model directory, also of an unfinished training")


def _run_info(args: argparse.Namespace) -> None:
    sections = model_info(args.model)
    width = max(len(name) for values in sections.values() for name in values)
    for title, values in sections.items():
        console.out.print(Text(title, style="bold"))
        for name, value in values.items():
            console.out.print(f"  {name.replace('_', '-'):{width}}  {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
