"""The documents' examples run as they are printed, and their commands run at a small size."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from transformer import cli
from transformer.cli.usage import USAGE

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
EXAMPLES = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(import .*?)```", page.read_text("utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs_as_printed(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {})


# Commands: those of a page run one after the other in one directory, here-documents and `from transformer` examples
# between them included. Lines with a comment that begins with "needs" are left out.

SHORT = "--steps 4 --warmup 2 --evaluate-every 2 --held-out 20 --batch-tokens 512"  # also of pretrained models
SIZES = "--d-model 16 --num-heads 2 --num-kv-heads 1 --d-ff 32 --layers 1 --steps 4 --warmup 2 --evaluate-every 2"
SMALL = {  # the beginning of a command → what is appended to it
    "demo": f"{SIZES} --vocab-size 300 --count 1500 --held-out 20",
    "train translate": f"{SIZES} --batch-tokens 512 --vocab-size 300 --held-out 5",
    "train summarize": f"{SIZES} --batch-tokens 512 --vocab-size 600 --held-out 5",
    "train fill": f"{SIZES} --batch-tokens 512 --vocab-size 300 --held-out 5 --max-length 64",
    "train classify": f"{SIZES} --batch-tokens 512 --vocab-size 300 --held-out 5 --max-length 64",
    "train generate": f"{SIZES} --batch-tokens 512 --max-length 64",
    "translate": "--max-new-tokens 8",
    "summarize": "--max-new-tokens 8",
    "generate": "--max-new-tokens 8",
}
COUNTED = [f"{a} {noun}" for a in range(10, 40) for noun in ("cats", "dogs")]
FILES = {  # what a reader is supposed to have
    "pairs.tsv": "".join(f"{source}\t{source[::-1]}\n" for source in COUNTED),
    "test.tsv": "10 cats\tstac 01\n39 dogs\tsgod 93\n",
    "corpus.en": "".join(f"{source}\n" for source in COUNTED),
    "corpus.de": "".join(f"{source[::-1]}\n" for source in COUNTED),
    "texts.tsv": "".join(f"There are {source}. They sleep.\t{source}\n" for source in COUNTED),
    "reviews.tsv": "".join(f"there are {source}\t{source.split()[1]}\n" for source in COUNTED),
    "plays.txt": "ROMEO: Is the day so young?\nBENVOLIO: But new struck nine.\n" * 40,
    "book.txt": "".join(f"There are {source} in the house.\n" for source in COUNTED),
    "article.txt": "There are 12 cats.\nThey sleep.\n",
    "sentences.txt": "12 cats\n13 dogs\n",
}
NEEDED = {"onnx": ("onnx", "onnxruntime"), "train": ("tensorboardX",)}  # optional packages of a page


@dataclass(frozen=True)
class Command:
    arguments: list[str]
    source: str | None  # "< file"
    target: str | None  # "> file"


def _parsed(line: str) -> Command | None:
    """A line of a shell block, if it is a command to run."""
    if "# needs" in line:
        return None
    words = shlex.split(line, comments=True)
    if not words or words[0] != "transformer":
        return None
    files: dict[str, str] = {}
    while len(words) > 2 and words[-2] in "<>":
        files[words[-2]] = words[-1]
        del words[-2:]
    small = next((SMALL[start] for start in SMALL if words[1:][: len(start.split())] == start.split()), "")
    small = SHORT if "--from" in words and "train" in words else small
    return Command([*words[1:], *small.split()], files.get("<"), files.get(">"))


def _run(command: Command) -> None:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.StringIO(Path(command.source).read_text() if command.source else ""))
        try:
            status: object = cli.main(command.arguments)
        except SystemExit as exit:
            status = exit.code
    assert status in (0, None), f"transformer {shlex.join(command.arguments)}: {err.getvalue()}"
    if command.target:
        Path(command.target).write_text(out.getvalue())


def _blocks(page: Path) -> list[tuple[str, str]]:
    blocks = re.findall(r"```(sh|python)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return [(kind, text.replace("\\\n", "")) for kind, text in blocks]


def _has_commands(page: Path) -> bool:
    return any(kind == "sh" and re.search("^transformer ", text, re.M) for kind, text in _blocks(page))


WITH_COMMANDS = [page for page in PAGES if _has_commands(page)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.peers] * (page.stem in NEEDED), id=page.stem) for page in WITH_COMMANDS],
)
def test_the_commands_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in NEEDED.get(page.stem, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(name).write_text(content)
    count = 0
    for kind, text in _blocks(page):
        if kind == "python":
            if text.startswith("from transformer"):
                exec(compile(text, page.name, "exec"), {})
            continue
        for here_document in re.findall(r"^cat > .*?<<'END'\n.*?^END$", text, re.M | re.S):
            subprocess.run(["sh", "-c", here_document], check=True)
        for line in text.splitlines():
            if (command := _parsed(line)) is not None:
                _run(command)
                count += 1
    assert count > 0


def test_every_command_has_a_page_that_runs_it() -> None:
    for name in USAGE:
        page = ROOT / "docs" / f"{name}.md"
        lines = [line for kind, text in _blocks(page) if kind == "sh" for line in text.splitlines()]
        assert any(f"transformer {name}" in line for line in lines), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_points_at_is_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    targets += re.findall(r'src="([^":]+)"', page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_marks_the_two_commands_that_continuous_integration_runs() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for name in ("demo", "tests"):
        assert re.search(rf"<!-- {name} -->\n```sh\n[^\n]+\n```", text), name
