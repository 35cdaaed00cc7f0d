"""Configuration file of a training: a TOML table of the command's options.

Values are written as JSON, whose numbers, truth values, strings and lists are TOML's as well.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minigrad.io import read_file
from transformer.cli.options import ARCHITECTURE, LORA, TRAINING
from transformer.cli.suggestions import hint
from transformer.tasks import DataChoice, Settings, Task

CONFIG_FILE = "training.toml"  # in a model directory
OF_ONE_RUN = ("--help", "--config", "--resume", "--overwrite", "--trace")

Options = Mapping[str, argparse.Action]


def add_config(parser: argparse.ArgumentParser) -> None:
    text = f"TOML file of options, which those of the command line override; a training writes {CONFIG_FILE} into --out"
    parser.add_argument("--config", type=Path, metavar="FILE", help=text)


def config_words(path: Path, options: Options, check: Callable[[argparse.Action, list[str]], Any]) -> list[str]:
    """Settings of a file as the words of a command line.

    Args:
        path: the file.
        options: those of the command, by their names.
        check: raises an ``ArgumentError`` for the words that are no values of an option.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no TOML, or has an unknown setting or a wrong value; the message names the file.
    """
    settings = {option for option in options if option not in OF_ONE_RUN and not option.startswith("--no-")}
    words: list[str] = []
    content = read_file(path)
    try:
        for key, value in tomllib.loads(content.decode("utf-8-sig")).items():
            option = f"--{key.replace('_', '-')}"
            if isinstance(value, dict):
                raise ValueError(f"unknown setting {key!r}: expected no tables")
            if option not in settings:
                close = hint(option.replace("--no-", "--", 1), settings).replace("--", "")
                raise ValueError(f"unknown setting {key!r}{close}")
            words += _words(option, value, options, check)
    except (ValueError, argparse.ArgumentError) as error:
        raise ValueError(f"{path}: {error}") from None
    return words


def _words(option: str, value: Any, options: Options, check: Callable[[argparse.Action, list[str]], Any]) -> list[str]:
    action, off = options[option], f"--no-{option.removeprefix('--')}"
    if off in options:
        if not isinstance(value, bool):
            raise ValueError(f"argument {option}: expected true or false, got {value!r}")
        return [option if value else off]
    several = isinstance(value, list) and action.nargs is not None
    values = value if several else [value]
    count = action.nargs if isinstance(action.nargs, int) else len(values) or 1
    if len(values) != count or not all(
        isinstance(one, (str, int, float)) and not isinstance(one, bool) for one in values
    ):
        expected = "a value" if action.nargs is None else f"{count} values" if count > 1 else "values"
        raise ValueError(f"argument {option}: expected {expected}, got {value!r}")
    texts = [str(one) for one in values]
    check(action, texts)
    return [option, *texts] if several else [f"{option}={texts[0]}"]


def config_document(task: Task[Any], args: argparse.Namespace, choice: DataChoice, settings: Settings) -> bytes:
    """Content of the file that repeats a training: every option with the value that it had."""
    both = max(settings.architecture.get(name, 0) for name in ("encoder_layers", "decoder_layers"))
    values: dict[str, Any] = {
        **{name: getattr(choice, name) for name in ("data", "held_out", *task.options)},
        "from": None if settings.pretrained is None else str(settings.pretrained),
        **{name: getattr(args, name, None) for name in LORA},
        "preset": args.preset,
        "layers": args.layers if args.preset else both or None,  # a preset's stacks may differ
        "vocab_size": settings.vocab_size,
        **{name: settings.architecture[name] for name in ARCHITECTURE if name in settings.architecture},
        **{name: getattr(settings.training, name) for name in TRAINING},
        "batch_tokens": settings.batch_tokens,
    }
    lines = [f"# transformer train {task.name} --config {CONFIG_FILE} --out DIR"]
    lines += [f"{name.replace('_', '-')} = {_toml(value)}" for name, value in values.items() if value is not None]
    return "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
