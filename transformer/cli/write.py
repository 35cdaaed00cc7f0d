"""``transformer translate``, ``summarize`` and ``generate``: commands that write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from transformer import console
from transformer.cli.model import add_model, load
from transformer.cli.options import SAMPLING, SEARCH, add_options, given
from transformer.cli.parser import add_command
from transformer.decode import GenerationConfig
from transformer.evaluate import transduce
from transformer.tasks import PAPER_SEARCH, TASKS, continuation

DEFAULT_SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 50}
DEFAULT_NEW_TOKENS = 200
OF_CHANCE = ("temperature", "top_k", "top_p", "min_p", "seed")  # without a meaning for the likeliest token


def _add_writer(commands: Any, name: str, text: str, what: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, _run_writer, text)
    add_model(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help=what)
    add_options(parser.add_argument_group("search"), GenerationConfig, SEARCH, PAPER_SEARCH)
    return parser


def add_translate(commands: Any) -> None:
    text = "Translate sentences. They are arguments, or lines of standard input; translations are lines of the output."
    _add_writer(commands, "translate", text, "a sentence")


def add_summarize(commands: Any) -> None:
    text = "Summarize texts. They are arguments, or standard input as one text; summaries are lines of the output."
    _add_writer(commands, "summarize", text, "a text")


def _run_writer(args: argparse.Namespace) -> None:
    model, tokenizer = load(args.model, TASKS[args.command])
    if args.command == "translate":
        sources = args.texts or [line.rstrip("\n") for line in _standard_input()]
    else:
        sources = [" ".join(text.split()) for text in args.texts or ["".join(_standard_input())]]
    for number, source in enumerate(sources or [""], 1):
        if not source.strip():
            raise ValueError(f"texts: expected some text, number {number} is empty")
    cut = args.command == "summarize"
    for target in transduce(model, tokenizer, sources, cut=cut, **PAPER_SEARCH | given(args, SEARCH)):
        print(" ".join(target.splitlines()))  # a line each, whatever an untrained model writes


def _standard_input() -> Iterable[str]:
    if sys.stdin.isatty():
        console.say("type a text; Ctrl-D ends it")
    return sys.stdin


def add_generate(commands: Any) -> None:
    text = "Go on with a text. It appears as it is written."
    parser = add_command(commands, "generate", _run_generate, text)
    add_model(parser)
    parser.add_argument("--prompt", default="\n", metavar="TEXT", help="what to go on with (default: a line's end)")
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        default=DEFAULT_NEW_TOKENS,
        metavar="N",
        help=f"longest text, which may go beyond the model's context (default: {DEFAULT_NEW_TOKENS})",
    )
    parser.add_argument("--greedy", action="store_true", help="always the likeliest token")
    add_options(parser.add_argument_group("sampling"), GenerationConfig, SAMPLING, DEFAULT_SAMPLING)


def _run_generate(args: argparse.Namespace) -> None:
    model, tokenizer = load(args.model, TASKS["generate"])
    if args.max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {args.max_new_tokens}")
    choices = given(args, SAMPLING)
    if args.greedy and (useless := [name for name in OF_CHANCE if name in choices]):
        raise ValueError(f"{useless[0]}: changes nothing beside --greedy; expected none")
    if not args.greedy:
        choices = {"do_sample": True, **DEFAULT_SAMPLING, **choices}
    pieces = continuation(model, tokenizer, args.prompt, args.max_new_tokens, **choices)
    first = next(pieces, "")  # what is wrong shows before anything is printed
    _print_pieces([args.prompt, first], pieces)


def _print_pieces(*parts: Iterable[str]) -> None:
    for pieces in parts:
        for piece in pieces:
            print(piece, end="", flush=True)
    print()
