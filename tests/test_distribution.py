"""The distribution's name, version and extras: one source each."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

import minigrad
import transformer
from minigrad.optional_imports import DISTRIBUTION, install_command, require
from transformer.cli import main

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [path for package in ("minigrad", "transformer", "tests") for path in sorted((ROOT / package).rglob("*.py"))]


def test_the_distribution_has_its_own_name() -> None:
    """The packages' names belong to others on the index: no text may recommend to install those."""
    assert PROJECT["name"] == DISTRIBUTION
    others = re.compile(rf"pip install [^\n]*?['\" ](?!{DISTRIBUTION}\b)(minigrad|transformers?)\b(?![-_/.])")
    for path in (*PAGES, *SOURCES):
        if path != Path(__file__):
            assert not others.search(path.read_text("utf-8")), path


def test_every_extra_that_a_message_names_exists() -> None:
    extras = set(PROJECT["optional-dependencies"])
    named = {
        extra
        for path in SOURCES
        for extra in re.findall(
            r'(?:require|missing)\("[\w.]+", "(\w+)"\)|install_command\([\'"](\w+)', path.read_text("utf-8")
        )
    }
    found = {extra for pair in named for extra in pair if extra}
    assert found == {"text", "draw", "onnx", "tensorboard", "completion", "mpi", "test"} <= extras


def test_the_version_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert transformer.__version__ == minigrad.__version__
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"transformer {minigrad.__version__}\n"


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ModuleNotFoundError, match=re.escape(f"no_such is not installed; it comes with: {install_command('draw')}")
    ):
        require("no_such.part", "draw")
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "minigrad.testing.strategies", raising=False)
    with pytest.raises(ModuleNotFoundError, match=re.escape(install_command("test"))):
        importlib.import_module("minigrad.testing.strategies")
