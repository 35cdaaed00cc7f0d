"""Shell completion: the scripts that ``shtab`` writes from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from minigrad.optional_imports import require

SHELLS = ("bash", "zsh", "fish")


class Completion(argparse.Action):
    """Action that prints the completion script of a shell, and ends."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, shell: Any, option: Any = None) -> None:
        try:
            shtab = require("shtab", "completion")
        except ImportError as error:
            parser.error(str(error))
        kinds = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
        for action in _actions(parser):
            if action.metavar in kinds:
                action.complete = kinds[action.metavar]  # type: ignore[attr-defined]  # where shtab looks for it
        print(shtab.complete(parser, shell))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Actions of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
