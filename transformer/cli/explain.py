"""Command ``explain``: an interactive page of one run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from transformer.cli import console
from transformer.cli.model import add_model
from transformer.cli.parser import add_command
from transformer.data.tokenizer import PLACEHOLDER
from transformer.explanation import explain
from transformer.pretrained import load_both


def add_explain(commands: Any) -> None:
    text = "Explain one run of a model by an interactive page: all steps with their numbers, attention, predictions."
    parser = add_command(commands, "explain", _run, text)
    add_model(parser)
    parser.add_argument("text", metavar="TEXT", help=f"input text; for an encoder it may contain {PLACEHOLDER}")
    parser.add_argument(
        "--target", metavar="TEXT", help="target text of an encoder-decoder (default: its own translation)"
    )
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        default=16,
        metavar="N",
        help="tokens that a decoder appends to its prompt (default: 16)",
    )
    parser.add_argument(
        "--max-tokens", type=int, default=40, metavar="N", help="tokens of a text that are shown (default: 40)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("explanation.html"),
        metavar="FILE",
        help="output file (default: explanation.html)",
    )


def _run(args: argparse.Namespace) -> None:
    model, tokenizer = load_both(args.model)
    with console.doing("running the model"):
        page = explain(
            model, tokenizer, args.text, args.target, max_new_tokens=args.max_new_tokens, max_tokens=args.max_tokens
        )
    page.save(args.output)
    console.out.print(f"wrote {args.output}")
