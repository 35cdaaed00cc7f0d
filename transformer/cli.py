"""The ``transformer`` command."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformer import console, demo
from transformer.config import PRESETS, TransformerConfig
from transformer.decode import GenerationConfig
from transformer.draw import draw_attention
from transformer.evaluate import transduce
from transformer.models import MaskedLM
from transformer.options import ARCHITECTURE, SAMPLING, SEARCH, TRAINING, add_options, given
from transformer.pretrained import from_pretrained, load_tokenizer
from transformer.tasks import (
    PLACEHOLDER,
    TASK,
    TASKS,
    Candidate,
    DataChoice,
    Defaults,
    Settings,
    Task,
    continuation,
    fill,
    read_task,
    train,
    with_masks,
)
from transformer.tasks.corpora import NAMES
from transformer.tokenizers import Tokenizer
from transformer.train import TrainingConfig
from transformer.usage import EXAMPLES, USAGE

BAD_INPUT = (ArithmeticError, ImportError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
INTERRUPTED = 130  # what shells report for Ctrl-C
ANY_VOCABULARY = 2**16  # large enough for the special tokens of every preset
TEXT_WIDTH = 78  # columns of a description

STACKS = ("encoder_layers", "decoder_layers")
HEEDED = {  # what a task may heed of a DataChoice beside its data
    "reverse": "swap the two sides of pairs",
    "split_seed": "which examples are held out (default: 0)",
    "skip_bad": "leave bad lines out, and say how many",
}
PAPER_SEARCH: dict[str, Any] = {"length_penalty": 0.6, "length_penalty_form": "paper"}  # section 6.1
DEFAULT_SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 50}
DEFAULT_NEW_TOKENS = 200


class _Help(argparse.RawDescriptionHelpFormatter):
    """Examples a line each, and a column that is wide enough for the commands, which argparse forgets are indented."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            longest = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, longest)


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line on standard error and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="transformer",
        description="Train Transformers on this machine's CPU, use them, and look inside.",
        epilog="start with:  transformer demo\nand then:    transformer COMMAND --help",
        formatter_class=_Help,
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    for add in (
        _add_demo,
        _add_train,
        _add_translate,
        _add_summarize,
        _add_generate,
        _add_fill,
        _add_evaluate,
        _add_draw,
    ):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    summary = text.split(".", maxsplit=1)[0]
    parser = _described(commands, name, summary[0].lower() + summary[1:], name, text)
    parser.set_defaults(run=run)
    return parser


def _described(commands: Any, name: str, summary: str, path: str, text: str) -> argparse.ArgumentParser:
    """A parser with everything that its help says; ``path`` is the name with those of the commands above it."""
    usage = USAGE.get(path, "--out DIR [--data FILE ...] [options]")
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        usage=f"transformer {path} {usage}",
        description=textwrap.fill(text, TEXT_WIDTH),
        epilog="\n".join(["for example:", *(f"  {example}" for example in EXAMPLES[path])]),
        formatter_class=_Help,
    )
    return parser


# demo


def _add_demo(commands: Any) -> None:
    text = (
        "Train a translator of dates, numbers, names and units on this CPU and picture its attention. Takes some four "
        "minutes on two cores. Needs no files: the phrases are those that the Unicode CLDR translates."
    )
    parser = _command(commands, "demo", _run_demo, text)
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
    _add_settings(parser, demo.DEFAULTS)


def _run_demo(args: argparse.Namespace) -> None:
    config = {f.name: getattr(args, f.name) for f in dataclasses.fields(demo.DemoConfig) if f.name in vars(args)}
    demo.run(demo.DemoConfig(**config), _settings(args, demo.DEFAULTS))


# train


def _add_settings(parser: argparse.ArgumentParser, defaults: Defaults) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--preset", choices=_presets(defaults), help="begin with the architecture of this name")
    layers = max(defaults.architecture.get(name, 0) for name in STACKS)
    group.add_argument("--layers", type=int, metavar="N", help=f"in each stack (default: {layers})")
    characters = "" if defaults.vocab_size else "; 0 is a token for each character"
    group.add_argument(
        "--vocab-size",
        type=int,
        default=defaults.vocab_size,
        metavar="N",
        help=f"tokens of the byte-pair encoding{characters} (default: {defaults.vocab_size})",
    )
    add_options(group, TransformerConfig, ARCHITECTURE, defaults.architecture)
    group = parser.add_argument_group("training")
    add_options(group, TrainingConfig, TRAINING, dataclasses.asdict(defaults.training))
    group.add_argument(
        "--batch-tokens",
        type=int,
        default=defaults.batch_tokens,
        metavar="N",
        help=f"padded tokens of a batch (default: {defaults.batch_tokens})",
    )


def _presets(defaults: Defaults) -> list[str]:
    """Those that have the stacks of a task's own architecture."""
    needed = [name for name in STACKS if defaults.architecture.get(name, 1)]
    return [preset for preset, fields in PRESETS.items() if [name for name in STACKS if fields.get(name, 1)] == needed]


def _settings(args: argparse.Namespace, defaults: Defaults) -> Settings:
    architecture = dict(PRESETS[args.preset] if args.preset else defaults.architecture)
    architecture.pop("vocab_size", None)
    if args.layers is not None:
        architecture |= dict.fromkeys([name for name in STACKS if architecture.get(name, 1)], args.layers)
    architecture |= given(args, ARCHITECTURE)
    TransformerConfig.from_fields({**architecture, "vocab_size": ANY_VOCABULARY})  # what is wrong is better known now
    return Settings(
        architecture=architecture,
        vocab_size=args.vocab_size,
        batch_tokens=args.batch_tokens,
        training=dataclasses.replace(defaults.training, **given(args, TRAINING)),
    )


def _add_data(parser: argparse.ArgumentParser, task: Task[Any] | None) -> Any:
    """Which examples; without a task the model's own training says."""
    group = parser.add_argument_group("data")
    otherwise = "as in the model's training"
    names, unit, heeded = NAMES.get(task.name, "") if task else "", "examples", tuple(HEEDED)
    default: str | int = otherwise
    data: tuple[str, ...] | None = None
    if task is not None:
        data, default, unit, heeded = task.defaults.data, task.defaults.held_out, task.held_out_unit, task.heeds
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
        help=f"{unit} to keep out of the training (default: {default})",
    )
    for name in heeded:
        option = f"--{name.replace('_', '-')}"
        kind: dict[str, Any] = {"type": int, "metavar": "N"} if name == "split_seed" else {"action": "store_true"}
        group.add_argument(option, default=None, help=HEEDED[name], **kind)
    return group


def _choice(args: argparse.Namespace, before: DataChoice | None = None) -> DataChoice:
    names = [field.name for field in dataclasses.fields(DataChoice)]
    values = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    if "data" in values:
        values["data"] = tuple(values["data"])
    return dataclasses.replace(before, **values) if before else DataChoice(**values)


def _add_train(commands: Any) -> None:
    text = "Train a model. It is written to a directory, with a log of each step and checkpoints to resume from."
    parser = _command(commands, "train", _run_train, text)
    tasks = parser.add_subparsers(title="tasks", dest="task", required=True, metavar="TASK", parser_class=_Parser)
    for task in TASKS.values():
        aim = task.aim[0].lower() + task.aim[1:]
        text = f"Train a model to {aim}. Ctrl-C stops the training and keeps what was learned; --resume goes on."
        one = _described(tasks, task.name, aim, f"train {task.name}", text)
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model directory to write")
        one.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
        one.add_argument("--overwrite", action="store_true", help="begin anew where there is a model in --out")
        one.add_argument("--tensorboard", type=Path, metavar="DIR", help="write TensorBoard's event files there, too")
        _add_data(one, task)
        _add_settings(one, task.defaults)


def _run_train(args: argparse.Namespace) -> None:
    task = TASKS[args.task]
    choice, settings = _choice(args), _settings(args, task.defaults)
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
    if examples.held_out:
        report = task.evaluate(trained.model, trained.tokenizer, examples.held_out, {})
        console.out.print(f"held out: {report.line}")
    console.out.print(f"model in {args.out}")


# Using a model


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a model directory")


def _load(directory: Path, task: Task[Any]) -> tuple[Any, Tokenizer]:
    model = from_pretrained(directory)
    if not isinstance(model, task.model):
        raise ValueError(
            f"{directory}: expected a {task.model.__name__} to {task.name} with, got a {type(model).__name__}"
        )
    return model, load_tokenizer(directory)


def _add_writer(commands: Any, name: str, text: str, what: str) -> argparse.ArgumentParser:
    parser = _command(commands, name, _run_writer, text)
    _add_model(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help=what)
    add_options(parser.add_argument_group("search"), GenerationConfig, SEARCH, PAPER_SEARCH)
    return parser


def _add_translate(commands: Any) -> None:
    text = "Translate sentences. They are arguments, or lines of standard input; translations are lines of the output."
    _add_writer(commands, "translate", text, "a sentence")


def _add_summarize(commands: Any) -> None:
    text = "Summarize texts. They are arguments, or standard input as one text; summaries are lines of the output."
    _add_writer(commands, "summarize", text, "a text")


def _run_writer(args: argparse.Namespace) -> None:
    model, tokenizer = _load(args.model, TASKS[args.command])
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


def _add_generate(commands: Any) -> None:
    text = "Go on with a text. It appears as it is written."
    parser = _command(commands, "generate", _run_generate, text)
    _add_model(parser)
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
    model, tokenizer = _load(args.model, TASKS["generate"])
    if args.max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {args.max_new_tokens}")
    choices = given(args, SAMPLING)
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


def _add_fill(commands: Any) -> None:
    text = f"Fill in missing words. Each {PLACEHOLDER} of a text gets its likeliest tokens, with their probabilities."
    parser = _command(commands, "fill", _run_fill, text)
    _add_model(parser)
    parser.add_argument("text", metavar="TEXT", help=f"a text with {PLACEHOLDER} in it")
    parser.add_argument("--count", type=int, default=5, metavar="N", help="candidates to list (default: 5)")


def _run_fill(args: argparse.Namespace) -> None:
    model, tokenizer = _load(args.model, TASKS["fill"])
    text = args.text.replace(tokenizer.special_names.get("mask", PLACEHOLDER), PLACEHOLDER)
    for number, candidates in enumerate(fill(model, tokenizer, text, args.count)):
        if number:
            print()
        _print_candidates(text, number, candidates)


def _print_candidates(text: str, number: int, candidates: list[Candidate]) -> None:
    parts = text.split(PLACEHOLDER)
    before, after = PLACEHOLDER.join(parts[: number + 1]), PLACEHOLDER.join(parts[number + 1 :])
    for candidate in candidates:
        word = candidate.text.strip() or repr(candidate.text)
        print(f"{candidate.probability:6.1%}  {before}{word}{after}")


def _add_evaluate(commands: Any) -> None:
    text = "Score a model on held-out examples. Which these are, the directory of a model trained here says."
    parser = _command(commands, "evaluate", _run_evaluate, text)
    _add_model(parser)
    parser.add_argument("--task", choices=list(TASKS), help="what it is to do (default: what it was trained for)")
    group = _add_data(parser, None)
    group.add_argument("--all", action="store_true", help="score every example of --data: a test set of its own")
    add_options(parser.add_argument_group("search"), GenerationConfig, SEARCH, {})


def _run_evaluate(args: argparse.Namespace) -> None:
    if args.all and args.data is None:
        raise ValueError("all: expected --data beside it, as the model has learned from the data of its training")
    if args.all:
        args.held_out = 0
    if args.task is not None and args.data is not None and args.held_out is not None:
        task, choice = TASKS[args.task], _choice(args)
    else:
        name, before = read_task(args.model)
        if (args.task or name) not in TASKS:
            raise ValueError(f"{args.model / TASK}: task: expected one of {', '.join(TASKS)}, got {name!r}")
        task, choice = TASKS[args.task or name], _choice(args, before)
    model, tokenizer = _load(args.model, task)
    with console.doing(f"reading {' '.join(choice.data)}"):
        examples = task.read(choice)
    for note in examples.notes:
        console.say(note)
    chosen = examples.train if args.all else examples.held_out
    if not chosen:
        raise ValueError("held_out: expected at least 1, got 0")
    console.out.print(task.evaluate(model, tokenizer, chosen, given(args, SEARCH)).line)


def _add_draw(commands: Any) -> None:
    text = "Draw the attention of a text: the computation graph of one block with each head's weights."
    parser = _command(commands, "draw", _run_draw, text)
    _add_model(parser)
    parser.add_argument("text", metavar="TEXT", help=f"what the model reads; for an encoder also with {PLACEHOLDER}")
    parser.add_argument(
        "--target", metavar="TEXT", help="what an encoder-decoder writes (default: its own translation)"
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="an attention layer; a wrong name lists them (default: the last one)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("attention.svg"),
        metavar="FILE",
        help=".svg, .png, .pdf or .dot, by its ending (default: attention.svg)",
    )


def _run_draw(args: argparse.Namespace) -> None:
    model, tokenizer = from_pretrained(args.model), load_tokenizer(args.model)
    text = with_masks(args.text, tokenizer) if isinstance(model, MaskedLM) else args.text
    draw_attention(model, tokenizer, text, args.target, layer=args.layer).save(args.output)
    console.out.print(f"wrote {args.output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for bad input, 130 when interrupted."""
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *place: console.say(f"transformer {args.command}: {message}")
            args.run(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; there is nobody to tell
        return 0
    except BAD_INPUT as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"transformer {args.command}: error: {message}", file=sys.stderr)
        return 2
    return 0
