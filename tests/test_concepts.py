"""Concept pages: five parts each, code from the source, a picture of its own block, and an experiment that runs."""

from __future__ import annotations

import ast
import html
import re
import shlex
from pathlib import Path

import pytest

from transformer import cli
from transformer.examples import __main__ as examples

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "docs" / "concepts" / "index.md"
PAGES = sorted(set(INDEX.parent.glob("*.md")) - {INDEX})
PARTS = ["The formula", "The code", "The picture", "An experiment", "Exercises"]

SMALL = {  # an experiment → what is appended to its command
    "attention-scale": "--queries 20",
    "soft-lookup": "--steps 3",
    "heads": "--phrases 5",
    "self-and-cross": "--phrases 5",
    "embedding": "",
    "order": "--steps 2",
    "path-length": "--steps 2",
    "masks": "--phrases 2 --steps 1",
    "memory": "--phrases 5",
    "residuals": "--steps 1",
    "both-sides": "--steps 1 --texts 100",
    "bad-batch": "--steps 21",
    "recipe": "--phrases 5 --steps 2",
}
DEMO = "--d-model 16 --num-heads 2 --d-ff 32 --layers 1 --steps 4 --warmup 2 --vocab-size 300 --count 1500 --held-out 9"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def part(page: Path, heading: str) -> str:
    """The text below a heading of the second level."""
    return page.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@each_page
def test_a_page_has_the_five_parts_in_their_order(page: Path) -> None:
    headings = re.findall(r"^## (.*)$", page.read_text("utf-8"), re.M)
    assert [heading for heading in headings if heading in PARTS] == PARTS
    assert "$$" in part(page, "The formula")


@each_page
def test_a_page_is_in_the_table_of_concepts(page: Path) -> None:
    assert f"]({page.name})" in INDEX.read_text("utf-8")


@each_page
def test_code_is_included_from_the_source_that_the_text_links(page: Path) -> None:
    code = part(page, "The code")
    included = re.findall(r"```\{literalinclude\} (\S+)\n((?::.*\n)*)```", code)
    assert included
    for target, options in included:
        assert f"]({target})" in code, f"no link to {target}, for readers of the page's text"
        source = (page.parent / target).read_text("utf-8")
        for option, value in re.findall(r"^:([\w-]+): (.*)$", options, re.M):
            if option == "pyobject":
                assert value in definitions(ast.parse(source)), f"{target} does not define {value}"
            elif option in ("start-after", "start-at", "end-before", "end-at"):
                assert value in source, f"{target} has no line with {value!r}"


def definitions(tree: ast.AST, outer: str = "") -> set[str]:
    """Dotted names of all functions and classes."""
    found = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found |= {outer + node.name} | definitions(node, f"{outer}{node.name}.")
    return found


@each_page
def test_the_picture_is_what_the_block_draws(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words: their places depend on the renderer and its fonts."""
    text = part(page, "The picture")
    pictures = re.findall(r"(?:\]\(|src=\")(\.\./images/concepts/[\w.-]+\.svg)", text)
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if ".save" in block]
    assert pictures and blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        exec(compile(block, page.name, "exec"), {})
    for picture in pictures:
        committed = page.parent / picture
        assert words(Path(committed.name)) == words(committed), f"{committed.name}: save it anew with the page's block"


def words(svg: Path) -> list[str]:
    """All words of a picture."""
    return sorted(html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)<", svg.read_text("utf-8")))).split())


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's directory, at a small size."""
    directory = tmp_path_factory.mktemp("demo")
    cli.main(["demo", "--out", str(directory), *DEMO.split()])
    return directory


@pytest.mark.slow
@each_page
def test_an_experiment_prints_the_rows_that_the_page_shows(
    page: Path, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a small size, so that only the figures differ."""
    text = part(page, "An experiment")
    name, options = re.findall(r"^python -m transformer\.examples (\S+)(.*)$", text, re.M)[0]
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    Path("demo").symlink_to(demo)
    capsys.readouterr()
    assert examples.main([name, *shlex.split(f"{options} {SMALL[name]}")]) == 0
    assert rows(capsys.readouterr().out) == rows(shown)


def rows(text: str) -> set[str]:
    """Lines without their figures and their blanks."""
    figure = re.compile(r"[-−+]?\d[\d,.]*(?:e[-+]?\d+)?")
    return {" ".join(figure.sub("0", line).split()) for line in text.splitlines()}


@each_page
def test_there_are_three_exercises_with_their_answers(page: Path) -> None:
    exercises = re.split(r"^(?:\*\*|### )\d", part(page, "Exercises"), flags=re.M)[1:]
    assert len(exercises) == 3
    for exercise in exercises:
        question, summary, answer = exercise.partition("<details><summary>Answer</summary>")
        assert question.strip() and summary and re.search(r"\w.*</details>", answer, re.S)
