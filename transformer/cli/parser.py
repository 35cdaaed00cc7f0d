"""Argument parsers of the commands: help, one-line errors that suggest, and configuration files."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformer.cli.config_file import config_words
from transformer.cli.suggestions import hint, suggestion
from transformer.cli.usage import EXAMPLES, USAGE

QUOTED = re.compile(r'"[^"]*"')
NO_BREAK = "\N{NO-BREAK SPACE}"


class Help(argparse.HelpFormatter):
    """Help formatter: an example a line, lines within the terminal, and a column wide enough for the commands."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            longest = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, longest)

    def _format_usage(self, usage: str | None, *rest: Any) -> str:
        text = super()._format_usage(usage, *rest)
        return text if usage is None else textwrap.fill(text.strip(), self._width, subsequent_indent="  ") + "\n\n"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = text.split("\n")
        return "\n".join(_command(line, width) if line[:2] == "  " else textwrap.fill(line, width) for line in lines)


def _command(line: str, width: int) -> str:
    """Command line of an example, continued as a shell reads it; what is quoted stays together."""
    held = QUOTED.sub(lambda match: match[0].replace(" ", NO_BREAK), line.strip())
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(held, width - 2, initial_indent="  ", subsequent_indent="      ", **options)
    return " \\\n".join(lines).replace(NO_BREAK, " ")


def _inner_options(action: argparse.Action) -> Iterator[Collection[str]]:
    """Options of each of the commands below."""
    for inner in dict(action.choices or ()).values():
        yield inner._option_string_actions.keys() - {"-h", "--help"}
        for below in inner._subparsers._group_actions if inner._subparsers else ():
            yield from _inner_options(below)


class Parser(argparse.ArgumentParser):
    """Argument parser: usage errors are one line on standard error and exit status 2.

    The settings in the file of an option ``--config``, if there is one, come before those of the command line.
    """

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        words = sys.argv[1:] if args is None else list(args)
        self._check_options(words)
        if self._subparsers is None:
            words = [*self._config_words(words), *words]
        found, rest = super().parse_known_args(words, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def _check_options(self, words: Sequence[str]) -> None:
        """Refuse unknown options before anything else; those after a command's name are its own."""
        options = self._option_string_actions
        for word in words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in name and not any(option.startswith(name) for option in options):
                for command in self._subparsers._group_actions if self._subparsers is not None else ():
                    if any(name in inner or suggestion(name, inner) for inner in _inner_options(command)):
                        self.error(f"{name}: comes after {command.metavar}")
                self.error(f"unrecognized arguments: {name}{hint(name, options)}")

    def _config_words(self, words: Sequence[str]) -> list[str]:
        if "--config" not in self._option_string_actions:
            return []
        first = argparse.ArgumentParser(add_help=False)
        first.add_argument("--config", type=Path, nargs="?")
        path = first.parse_known_args(words)[0].config
        try:
            return [] if path is None else config_words(path, self._option_string_actions, self._get_values)
        except (OSError, ValueError) as error:
            self.error(" ".join(str(error).split()))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            message = f"invalid choice: {value!r} (choose from {', '.join(names)}){hint(str(value), names)}"
            raise argparse.ArgumentError(action, message)


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
        prog=f"transformer {path}",
        usage=f"transformer {path} {usage}",
        description=text,
        epilog="\n".join(["for example:", *(f"  {example}" for example in EXAMPLES[path])]),
        formatter_class=Help,
    )
    return parser
