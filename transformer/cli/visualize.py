"""Commands ``draw`` and ``explain``: one run of a model as a picture, or as an interactive page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from transformer.cli import console
from transformer.cli.model import add_model
from transformer.cli.parser import add_command
from transformer.data.tokenizer import PLACEHOLDER
from transformer.explanation import explain
from transformer.plots.attention import draw_attention
from transformer.pretrained import load_both


def add_draw(commands: Any) -> None:
    text = "Draw the attention of a text: the computation graph of one block with each head's weights."
    parser = add_command(commands, "draw", _run_draw, text)
    _add_run(parser, "attention.svg", ": .svg, .png or .dot", 24)
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="attention layer, or all; an unknown name lists them (default: the last one)",
    )
    parser.add_argument(
        "--heads", type=_heads, metavar="LIST", help="heads to show, such as 0,3, or mean (default: all heads)"
    )
    parser.add_argument("--values", action="store_true", help="write the weights into their cells, in hundredths")


def _heads(text: str) -> str | list[int]:
    if text == "mean":
        return text
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 0,3, or mean, got {text!r}") from None


def _run_draw(args: argparse.Namespace) -> None:
    model, tokenizer = load_both(args.model)
    options = {name: getattr(args, name) for name in ("layer", "heads", "values", "max_tokens")}
    draw_attention(model, tokenizer, args.text, args.target, **options).save(args.output)
    console.out.print(f"wrote {args.output}")


def add_explain(commands: Any) -> None:
    text = "Explain one run of a model by an interactive page: all steps with their numbers, attention, predictions."
    parser = add_command(commands, "explain", _run_explain, text)
    _add_run(parser, "explanation.html", "", 40)
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        default=16,
        metavar="N",
        help="tokens that a decoder appends to its prompt (default: 16)",
    )


def _run_explain(args: argparse.Namespace) -> None:
    model, tokenizer = load_both(args.model)
    with console.doing("running the model"):
        page = explain(
            model, tokenizer, args.text, args.target, max_new_tokens=args.max_new_tokens, max_tokens=args.max_tokens
        )
    page.save(args.output)
    console.out.print(f"wrote {args.output}")


def _add_run(parser: argparse.ArgumentParser, output: str, formats: str, max_tokens: int) -> None:
    """Add the options of a run of a model, and of what shows it."""
    add_model(parser)
    parser.add_argument("text", metavar="TEXT", help=f"input text; for an encoder it may contain {PLACEHOLDER}")
    parser.add_argument(
        "--target", metavar="TEXT", help="target text of an encoder-decoder (default: its own translation)"
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=max_tokens,
        metavar="N",
        help=f"tokens of a text that are shown (default: {max_tokens})",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(output),
        metavar="FILE",
        help=f"output file{formats} (default: {output})",
    )
