"""Why Transformers? RNN, LSTM and GRU in the same trainer: memory, translation, and speed."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results and figure go")


def run(args: argparse.Namespace) -> None:
    """All three comparisons."""
