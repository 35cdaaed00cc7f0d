"""The ``transformer`` command.

usage, options, suggestions (words) → console, ranks, config_file, parser, completion, standard_input, data, settings,
model (parts of commands) → demo, train, write, classify, embed, inspect, visualize, info, merge (the commands).
"""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Sequence

from minigrad import __version__
from minigrad.distributed import ALONE
from transformer.cli import console, ranks
from transformer.cli.classify import add_classify
from transformer.cli.completion import SHELLS, Completion
from transformer.cli.demo import add_demo
from transformer.cli.embed import add_embed
from transformer.cli.info import add_info
from transformer.cli.inspect import add_evaluate, add_fill
from transformer.cli.merge import add_merge
from transformer.cli.parser import Help, Parser
from transformer.cli.train import add_train
from transformer.cli.visualize import add_draw, add_explain
from transformer.cli.write import add_generate, add_summarize, add_translate
from transformer.tasks import TASKS

BAD_INPUT = (ArithmeticError, ImportError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
COMMANDS = (
    add_demo,
    add_train,
    add_translate,
    add_summarize,
    add_generate,
    add_fill,
    add_classify,
    add_embed,
    add_evaluate,
    add_draw,
    add_explain,
    add_info,
    add_merge,
)
INTERRUPTED = 130  # exit status of Ctrl-C in shells


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="transformer",
        description="Train Transformers on the CPU, run them, and inspect them.",
        epilog="start with:  transformer demo\nand then:    transformer COMMAND --help",
        formatter_class=Help,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    text = "print the completion script of a shell, and end"
    parser.add_argument("--completion", action=Completion, choices=SHELLS, help=text)
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )
    for add in COMMANDS:
        add(commands)
    return parser


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Arguments of the words; a task before ``train`` that has no model is the wrong way round."""
    parser = _parser()
    task, *rest = words or ["--help"]
    if task in TASKS and rest[:1] == ["train"] and not any(word.startswith("--m") for word in rest):
        parser.error(f"{task} train: did you mean train {task}?")
    return parser.parse_args([task, *rest])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for bad input, 130 when interrupted."""
    console.prepare_output()
    words = sys.argv[1:] if arguments is None else arguments
    group = ALONE
    try:
        with ranks.only_first():
            args = _parse(words)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *place: console.say(f"transformer {args.command}: {message}")
            if arguments is None:  # a process of its own
                ranks.watch_over()
            group = ranks.begin(args.command)
            args.run(args)
            sys.stdout.flush()  # while errors can still be reported
    except KeyboardInterrupt:
        if arguments is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # launchers repeat it, and the process is at its end
        return INTERRUPTED
    except BrokenPipeError:
        console.discard_output()  # the reader has closed the pipe
        return 0
    except BAD_INPUT as error:
        message = " ".join(str(error).split()) or type(error).__name__
        ranks.fail(group, f"transformer {args.command}: error: {message}")
        console.discard_output()  # otherwise a full disk would be reported again at exit
        return 2
    return 0
