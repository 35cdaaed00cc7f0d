"""Options of a command from the fields of a settings dataclass."""

from __future__ import annotations

import argparse
import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints


def add_options(
    parser: argparse.ArgumentParser, title: str, settings: type, texts: Mapping[str, str], defaults: Mapping[str, Any]
) -> None:
    """An option for each field that has a text. What is not given on the command line is not in its namespace.

    Args:
        parser: to add them to.
        title: of the group in the help.
        settings: a dataclass.
        texts: field names to what they mean.
        defaults: what holds where nothing is given, for the help; the dataclass's own elsewhere.
    """
    group = parser.add_argument_group(title)
    own = {field.name: field.default for field in dataclasses.fields(settings)}
    hints = get_type_hints(settings)
    for name, text in texts.items():
        value = defaults.get(name, own[name])
        kind = _without_none(hints[name])
        option = f"--{name.replace('_', '-')}"
        help_text = text if value is None or value == () else f"{text} (default: {_shown(value)})"
        if kind is bool:
            group.add_argument(option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help_text)
        elif get_origin(kind) is Literal:
            group.add_argument(option, choices=get_args(kind), default=argparse.SUPPRESS, help=help_text)
        elif get_origin(kind) is tuple:
            element = get_args(kind)[0]
            count = "*" if Ellipsis in get_args(kind) else len(get_args(kind))
            group.add_argument(
                option, nargs=count, type=element, default=argparse.SUPPRESS, metavar=_metavar(element), help=help_text
            )
        else:
            group.add_argument(option, type=kind, default=argparse.SUPPRESS, metavar=_metavar(kind), help=help_text)


def given(args: argparse.Namespace, texts: Mapping[str, str]) -> dict[str, Any]:
    """The options of ``texts`` that were on the command line."""
    values = {name: value for name, value in vars(args).items() if name in texts}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _without_none(kind: Any) -> Any:
    if get_origin(kind) is types.UnionType:
        return next(part for part in get_args(kind) if part is not types.NoneType)
    return kind


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _metavar(kind: Any) -> str:
    return {int: "N", float: "X"}.get(kind, "NAME")
