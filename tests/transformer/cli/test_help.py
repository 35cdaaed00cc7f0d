"""The help of the commands, and what shells complete."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

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
            assert example in re.sub(r" \\\n +", " ", text)
            words = shlex.split(example.partition(" <")[0])
            cli._parser().parse_args(words[1:])


@pytest.mark.parametrize("width", [60, 80])
def test_help_fits_the_terminal_and_its_examples_are_whole_commands(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for path in ("", *EXAMPLES):
        text = run(*path.split(), "--help").out
        assert max(map(len, text.splitlines())) <= width, path
        _, _, examples = text.partition("for example:\n")
        found = [shlex.split(line) for line in examples.replace("\\\n", "").splitlines()]
        assert found == [shlex.split(example) for example in EXAMPLES.get(path, ())], path


def test_without_a_command_the_help_is_shown() -> None:
    assert run().out == run("--help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_tasks_and_options(shell: str) -> None:
    script = run("--completion", shell).out
    assert all(word in script for word in ("translate", "batch-tokens", "bert-base", "info"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("tr",), {"train", "translate"}),
        (("train", "translate", "--sch"), {"--schedule"}),
        (("train", "generate", "--preset", "n"), {"nano"}),
        (("translate", "--model", "m"), {"model"}),
    ],
)
def test_bash_completes_with_the_script(words: tuple[str, ...], completed: set[str], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "may.txt").touch()  # which is no directory
    ask = f"COMP_WORDS=(transformer {' '.join(words)}); COMP_CWORD={len(words)}; _shtab_transformer"
    script = f"{run('--completion', 'bash').out}\n{ask}\necho ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == completed, done.stderr


def test_completion_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    said = run("--completion", "bash", status=2).err
    assert "pip install 'minigrad-transformer[completion]'" in said and said.count("\n") == 1
