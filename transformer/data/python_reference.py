"""Python reference corpus: the language reference that ships inside CPython, for language models.

Source: `pydoc_data.topics`, what Python's `help("with")` prints: https://docs.python.org/3/reference/.
"""

from __future__ import annotations

import re
from importlib import import_module

MIN_WORDS = 5
"""Fewer are a heading or a signature."""

_ENDS_LIKE_PROSE = re.compile(r"""[.:;?!][)"”*]*$""")
_CODE = re.compile(r"::=|>>>|^(async |@|class |def |for |if |while |with |try:|import )")
_MARKER = re.compile(r"^(\*|\d+\.|[IVX]+\.|\[\d+\])\s+")  # of a list's item or a footnote
_BROKEN_HYPHEN = re.compile(r"(?<=\w)-\n\s*(?=\w)")


def language_reference() -> list[str]:
    """Paragraphs of Python's language reference, each a line, in the order of the topics' names.

    Headings, grammar, code and signatures are left out, and so are the markers of list items. The topics overlap; no
    paragraph comes twice.

    Raises ModuleNotFoundError in a Python without `pydoc_data`.

    >>> paragraphs = language_reference()
    >>> len(paragraphs) > 1_000, any("the \\"with\\" statement" in paragraph for paragraph in paragraphs)
    (True, True)
    """
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    return list(dict.fromkeys(paragraph for name in sorted(topics) for paragraph in prose(topics[name])))


def prose(topic: str) -> list[str]:
    """Prose: the paragraphs of a text that are English sentences.

    >>> prose("Null\\n****\\n\\n   pass_stmt ::= \\"pass\\"\\n\\n\\"pass\\" is a null\\noperation: nothing happens.")
    ['"pass" is a null operation: nothing happens.']
    """
    blocks = (block.strip() for block in re.split(r"\n\s*\n", topic))
    paragraphs = (_MARKER.sub("", " ".join(_BROKEN_HYPHEN.sub("-", block).split())) for block in blocks)
    return [paragraph for paragraph in paragraphs if _is_prose(paragraph)]


def _is_prose(paragraph: str) -> bool:
    return (
        len(paragraph.split()) >= MIN_WORDS
        and _ENDS_LIKE_PROSE.search(paragraph) is not None
        and _CODE.search(paragraph) is None
    )
