from __future__ import annotations

import pytest

from transformer.data import language_reference
from transformer.data.python_reference import prose

WITH = """\
The "with" statement
********************

The "with" statement is used to wrap the execution of a non-
empty block with methods defined by a context manager.

   with_stmt ::= "with" ( "(" with_stmt_contents ","? ")" ) ":" suite

1. The context expression is evaluated to obtain
   a context manager.

* The suite is executed at last.

   Note:

     The statement guarantees that
     "__exit__()" will be called (always.)

object.__enter__(self)

   with A() as a, B() as b:
       print("some words that look like prose.")

>>> print("some words that look like prose.")

[1] A footnote is prose as well.
"""


def test_prose_is_kept_a_paragraph_a_line_without_its_markers() -> None:
    assert prose(WITH) == [
        'The "with" statement is used to wrap the execution of a non-empty block with methods defined by a context '
        "manager.",
        "The context expression is evaluated to obtain a context manager.",
        "The suite is executed at last.",
        'The statement guarantees that "__exit__()" will be called (always.)',
        "A footnote is prose as well.",
    ]


@pytest.fixture(scope="module")
def reference() -> list[str]:
    return language_reference()


def test_the_language_reference_is_worth_a_training(reference: list[str]) -> None:
    assert len(reference) > 1_000
    assert sum(map(len, reference)) > 200_000


def test_no_paragraph_comes_twice(reference: list[str]) -> None:
    assert len(set(reference)) == len(reference)


def test_each_paragraph_is_one_line_of_words(reference: list[str]) -> None:
    for paragraph in reference:
        assert paragraph == " ".join(paragraph.split())
        assert "****" not in paragraph and "::=" not in paragraph and ">>>" not in paragraph
