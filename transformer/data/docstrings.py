"""Docstring corpus: docstrings of the standard library and their first lines, for summarization.

PEP 257 asks that "multi-line docstrings consist of a summary line just like a one-line docstring, followed by a blank
line, followed by a more elaborate description": that description is the text, the line is its summary.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from transformer.data.parallel import Pair

BODY_LENGTHS = range(40, 1001)
"""Characters of a text, which is at most some 250 tokens."""

SUMMARY_LENGTHS = range(10, 101)
"""Characters of a summary."""

_FOREIGN = {"site-packages", "dist-packages", "test", "tests", "idle_test", "turtledemo", "__pycache__"}


def docstrings(library: str | os.PathLike[str] | None = None) -> list[Pair]:
    """Pairs `(body, summary)` of docstrings in the sources below a folder, by default of the standard library.

    Modules are parsed and never imported. The order is that of the files' names and of the lines in them; no body
    comes twice. Examples in a body, which begin with `>>>`, are left out, and so are docstrings without a blank line
    after the first, with a signature instead of a summary, or of other lengths than `BODY_LENGTHS` and
    `SUMMARY_LENGTHS`; folders of tests and of installed packages are not read.

    Raises FileNotFoundError if there are no sources, as in a Python without those of its library.

    >>> import asyncio, pathlib
    >>> len(docstrings(pathlib.Path(asyncio.__file__).parent)) > 50
    True
    """
    root = Path(library or sysconfig.get_path("stdlib"))
    pairs: dict[str, Pair] = {}
    for path in _sources(root):
        for docstring in _docstrings(path.read_bytes()):
            if (pair := _pair(docstring)) is not None:
                pairs.setdefault(pair[0], pair)
    if not pairs:
        raise FileNotFoundError(f"{root}: no Python sources with docstrings; use another corpus instead")
    return list(pairs.values())


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - _FOREIGN)
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _docstrings(source: bytes) -> Iterator[str]:
    try:
        with warnings.catch_warnings(action="ignore"):  # such as of invalid escape sequences
            tree = ast.parse(source)
    except (SyntaxError, ValueError):  # written for another version of Python
        return
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            docstring := ast.get_docstring(node)
        ):
            yield docstring


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Iterate over a node and the statements inside it, by line; several times faster than `ast.walk`."""
    yield node
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, field, ()):
            yield from _statements(child)


def _pair(docstring: str) -> Pair | None:
    summary, *paragraphs = docstring.split("\n\n")
    body = " ".join(" ".join(paragraph.split()) for paragraph in paragraphs if ">>>" not in paragraph)
    is_sentence = "\n" not in summary and "->" not in summary and len(summary.split()) > 2
    return (body, summary) if is_sentence and len(body) in BODY_LENGTHS and len(summary) in SUMMARY_LENGTHS else None
