"""``transformer merge``: an adapter as a part of its model's weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from transformer.cli import console
from transformer.cli.model import add_model
from transformer.cli.parser import add_command
from transformer.tasks import merge_adapter


def add_merge(commands: Any) -> None:
    text = "Merge an adapter into the weights of the model that it belongs to, and write the result as a model."
    parser = add_command(commands, "merge", _run_merge, text)
    add_model(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model directory to write")


def _run_merge(args: argparse.Namespace) -> None:
    merge_adapter(args.model, args.out)
    console.out.print(f"model in {args.out}")
