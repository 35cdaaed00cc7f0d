"""``transformer translate``, ``summarize`` and ``generate``: decoding commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from transformer.cli.model import add_model, add_quantize, load_for
from transformer.cli.options import SAMPLING, SEARCH, add_options, given, search
from transformer.cli.parser import add_command
from transformer.cli.standard_input import input_lines
from transformer.data.normalization import characters
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig
from transformer.evaluate import transduce
from transformer.tasks import NEW_TOKENS, TASKS, between_languages, check_no_special_tokens, continuation, reply

DEFAULT_SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 50}
OF_CHANCE = ("temperature", "top_k", "top_p", "min_p", "seed")  # without effect on greedy decoding


def _add_writer(commands: Any, name: str, text: str, what: str) -> argparse.ArgumentParser:
    parser = add_command(commands, name, _run_writer, text)
    add_model(parser)
    add_quantize(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help=what)
    _add_special_tokens(parser)
    add_options(parser.add_argument_group("search"), GenerationConfig, SEARCH, None)
    return parser


def _add_special_tokens(parser: argparse.ArgumentParser) -> None:
    text = "read the names of special tokens in a text, such as </s>, as these tokens and not as text"
    parser.add_argument("--special-tokens", action="store_true", help=text)


def add_translate(commands: Any) -> None:
    text = "Translate sentences. They are arguments, or lines of standard input; each gives a line, an empty one too."
    parser = _add_writer(commands, "translate", text, "a sentence")
    for side, what in (("source", "of the sentences (default: the tokenizer's)"), ("target", "to translate into")):
        text = f"language {what}, of a model that knows several: its token, such as fra_Latn"
        parser.add_argument(f"--{side}-language", metavar="NAME", help=text)


def add_summarize(commands: Any) -> None:
    text = "Summarize texts. They are arguments, or standard input as one text; summaries are lines of the output."
    _add_writer(commands, "summarize", text, "a text")


def _run_writer(args: argparse.Namespace) -> None:
    model, tokenizer = load_for(args.model, TASKS[args.command], args.quantize)
    if args.command == "translate":
        tokenizer = between_languages(model, tokenizer, args.source_language, args.target_language)
    cut = args.command == "summarize"
    found = 0
    for sources in _sources(args):
        split = not args.special_tokens
        choices = search(args)
        for target in transduce(model, tokenizer, sources, cut=cut, split_special_tokens=split, **choices):
            print(" ".join(target.splitlines()), flush=True)  # a line each, whatever the text contains
        found += len(sources)
    if not found:
        raise ValueError("texts: expected some text, got none")


def _sources(args: argparse.Namespace) -> Iterator[list[str]]:
    """Source texts: arguments, or standard input as a sentence a line, in groups as they arrive, or as one text."""
    if args.command == "translate" and not args.texts:
        yield from input_lines()
        return
    texts = args.texts or ["".join(line for lines in input_lines() for line in lines)]
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise ValueError(f"texts: expected some text, number {number} is empty")
    yield texts


def add_generate(commands: Any) -> None:
    text = "Continue a text. The output is streamed."
    parser = add_command(commands, "generate", _run_generate, text)
    add_model(parser)
    add_quantize(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="prompt to continue (default: a newline)")
    text = (
        "message to reply to, by the model's chat template; without TEXT, standard input: one message, or in a "
        "terminal a conversation, a message a line"
    )
    parser.add_argument("--chat", nargs="?", const="", metavar="TEXT", help=text)
    parser.add_argument("--system", metavar="TEXT", help="system message that the conversation begins with")
    _add_special_tokens(parser)
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help=f"maximum number of new tokens, also beyond the context (default: the model's, or {NEW_TOKENS})",
    )
    parser.add_argument("--greedy", action="store_true", help="greedy decoding: the likeliest token each time")
    add_options(parser.add_argument_group("sampling"), GenerationConfig, SAMPLING, DEFAULT_SAMPLING)


def _run_generate(args: argparse.Namespace) -> None:
    model, tokenizer = load_for(args.model, TASKS["generate"], args.quantize)
    choices = given(args, SAMPLING)
    if args.greedy and (useless := [name for name in OF_CHANCE if name in choices]):
        raise ValueError(f"{useless[0]}: changes nothing beside --greedy; expected none")
    if args.greedy:
        choices = {**choices, "do_sample": False, "num_beams": 1}
    elif any(name in choices for name in OF_CHANCE) or not _chooses_strategy(model.generation):
        usual = {} if _chooses_strategy(model.generation) else _default_sampling(model.generation)
        choices = {"do_sample": True, "num_beams": 1, **usual, **choices}
    if args.chat is not None:
        return _converse(args, model, tokenizer, choices)
    if args.system is not None:
        raise ValueError("system: changes nothing without --chat; expected none")
    split, prompt = not args.special_tokens, "\n" if args.prompt is None else args.prompt
    pieces = continuation(model, tokenizer, prompt, args.max_new_tokens, split_special_tokens=split, **choices)
    first = next(pieces, "")  # errors are raised before anything is printed
    _print_pieces([prompt, first], pieces)


def _converse(args: argparse.Namespace, model: Any, tokenizer: Tokenizer, choices: dict[str, Any]) -> None:
    """Reply to each message, given all before it."""
    if args.prompt is not None:
        raise ValueError("prompt: changes nothing beside --chat; expected none")
    messages: list[dict[str, str]] = []
    begun = [] if args.system is None else [("system", characters(args.system))]
    for role, text in chain(begun, (("user", text) for text in _messages(args.chat))):
        if not args.special_tokens:
            check_no_special_tokens(text, tokenizer)
        messages.append({"role": role, "content": text})
        if role == "system":
            continue
        pieces = reply(model, tokenizer, messages, args.max_new_tokens, **choices)
        first = next(pieces, "")
        messages.append({"role": "assistant", "content": _print_pieces([first], pieces)})


def _messages(text: str) -> Iterator[str]:
    """Messages of a user: one, or those that are typed."""
    if text:
        yield characters(text)
        return
    lines = (line for group in input_lines() for line in group)
    if sys.stdin is not None and sys.stdin.isatty():
        yield from filter(None, map(str.strip, lines))
    elif message := "".join(lines).strip():
        yield message
    else:
        raise ValueError("chat: expected a message, got none")


def _chooses_strategy(generation: GenerationConfig) -> bool:
    """True if a model's directory chooses the decoding strategy: sampling, beams or greedy."""
    return generation.do_sample is not None or generation.num_beams > 1


def _default_sampling(generation: GenerationConfig) -> dict[str, Any]:
    """Default sampling settings, except those that the directory gives."""
    own = vars(GenerationConfig())
    return {name: value for name, value in DEFAULT_SAMPLING.items() if getattr(generation, name) == own[name]}


def _print_pieces(*parts: Iterable[str]) -> str:
    """Print a text as it arrives, and return it."""
    found = []
    for piece in chain(*parts):
        print(piece, end="", flush=True)
        found.append(piece)
    print()
    return "".join(found)
