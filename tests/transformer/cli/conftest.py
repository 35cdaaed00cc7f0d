"""Small corpora, and models that the command has trained on them."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from transformer import (
    cli,
)

PAIRS = [(f"{a} and {b}", f"{a} und {b}") for a in range(10) for b in range(10)]
SENTENCES = [f"the {a} {b} sleeps in the {c}" for a in ("old", "red") for b in ("cat", "dog") for c in ("sun", "house")]
SIZES = ["--d-model", "16", "--num-heads", "2", "--d-ff", "32", "--layers", "1"]
SHORT = ["--steps", "4", "--warmup", "2"]
TINY = [*SIZES, *SHORT, "--vocab-size", "300", "--held-out", "5"]
CHARACTERS = [*SIZES, *SHORT, "--max-length", "16"]


@dataclass(frozen=True)
class Said:
    out: str
    err: str


def run(*arguments: object, stdin: str = "", status: int = 0) -> Said:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            found: Any = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            found = exit.code
    assert found == status, err.getvalue()
    return Said(out.getvalue(), err.getvalue())


def command_line(*arguments: object) -> list[str]:
    """The command line of the command in a process of its own, where Ctrl-C counts even in the background."""
    listening = "import signal, sys, transformer.cli as cli; signal.signal(signal.SIGINT, signal.default_int_handler)"
    return [sys.executable, "-c", f"{listening}; sys.exit(cli.main())", *map(str, arguments)]


def run_until(command: list[str], number: int, line: str) -> tuple[int, str]:
    """Run a command until it says a line, send the signal, and give its status and what it said after that."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for said in process.stderr:
                if said.startswith(line):
                    process.send_signal(number)
                    break
            _, rest = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, rest


def weights_of(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora, and where the models go."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "pairs.tsv.gz").write_bytes(gzip.compress("".join(f"{s}\t{t}\n" for s, t in PAIRS).encode()))
    (folder / "texts.tsv").write_text("".join(f"{s}. It is so. It was so.\t{s}\n" for s in SENTENCES))
    (folder / "sentences.txt").write_text("\n".join(SENTENCES) + "\n")
    (folder / "reviews.tsv").write_text("".join(f"{s}\t{'old' if 'old' in s else 'red'}\n" for s in SENTENCES * 4))
    (folder / "verse.txt").write_text("to be or not to be, that is the question\n" * 40)
    return folder


@pytest.fixture(scope="session")
def translator(folder: Path) -> Path:
    said = run("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", folder / "translator", *TINY)
    assert "held out: exact match" in said.out and "of 5)" in said.out
    assert "nrefs:1|case:mixed" in said.out  # the signature
    assert f"model in {folder / 'translator'}" in said.out
    assert "step 1/4" in said.err and "step 4/4" in said.err and "tokens/s" in said.err
    return folder / "translator"


@pytest.fixture(scope="session")
def summarizer(folder: Path) -> Path:
    arguments = ("--data", folder / "texts.tsv", "--out", folder / "summarizer", "--max-length", 24)
    said = run("train", "summarize", *arguments, *TINY)
    assert "ROUGE1 " in said.out and "ROUGEL " in said.out and "(lead 100.0)" in said.out  # the first sentence is it
    return folder / "summarizer"


@pytest.fixture(scope="session")
def filler(folder: Path) -> Path:
    said = run("train", "fill", "--data", folder / "sentences.txt", "--out", folder / "filler", *TINY)
    assert "hidden tokens: loss" in said.out and "perplexity" in said.out
    return folder / "filler"


@pytest.fixture(scope="session")
def writer(folder: Path) -> Path:
    said = run("train", "generate", "--data", folder / "verse.txt", "--out", folder / "writer", *CHARACTERS)
    assert "bits a character" in said.out
    return folder / "writer"


@pytest.fixture(scope="session")
def classifier(folder: Path) -> Path:
    learning = ("--steps", 150, "--warmup", 10, "--lr", 0.01, "--held-out", 8)
    said = run("train", "classify", "--data", folder / "reviews.tsv", "--out", folder / "classifier", *TINY, *learning)
    assert "held out: 8 texts: accuracy" in said.out and "macro F1" in said.out
    return folder / "classifier"
