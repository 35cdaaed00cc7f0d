"""Argument parsers of the commands: help, and one-line errors."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from transformer.cli.usage import EXAMPLES, USAGE

TEXT_WIDTH = 78  # columns of a description


class Help(argparse.RawDescriptionHelpFormatter):
    """Help formatter: an example a line, and a column wide enough for the indented commands."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            longest = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, longest)


class Parser(argparse.ArgumentParser):
    """Argument parser: usage errors are one line on standard error and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    summary = text.split(".", maxsplit=1)[0]
    parser = described(commands, name, summary[0].lower() + summary[1:], name, text)
    parser.set_defaults(run=run)
    return parser


def described(commands: Any, name: str, summary: str, path: str, text: str) -> argparse.ArgumentParser:
    """Add a parser with its help; ``path`` is the full name of the command."""
    usage = USAGE.get(path, "--out DIR [--data FILE ...] [options]")
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        usage=f"transformer {path} {usage}",
        description=textwrap.fill(text, TEXT_WIDTH),
        epilog="\n".join(["for example:", *(f"  {example}" for example in EXAMPLES[path])]),
        formatter_class=Help,
    )
    return parser
