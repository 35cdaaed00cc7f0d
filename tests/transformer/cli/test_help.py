"""The help of the commands."""

from __future__ import annotations

import shlex

import pytest

from tests.transformer.cli.conftest import run
from transformer import (
    cli,
)
from transformer.cli.usage import EXAMPLES, USAGE


def test_help_names_every_command_and_task_with_examples_that_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands, tasks = run("--help").out, run("train", "--help").out
    for name in USAGE:
        assert f"\n    {name} " in commands
    for path, examples in EXAMPLES.items():
        text = run(*path.split(), "--help").out
        assert path.split()[-1] in commands + tasks
        assert "None" not in text
        for example in examples:
            assert example in text
            words = shlex.split(example.partition(" <")[0])
            cli._parser().parse_args(words[1:])
        assert max(map(len, text.partition("for example:")[0].splitlines())) <= 85
