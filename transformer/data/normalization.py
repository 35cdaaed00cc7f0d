"""Text normalisation: one way for the data of a training, for what commands read, and for Python's own strings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

BOM = "\ufeff"
UNFINISHED = "\ufffd"  # how the first bytes of a character read


def check_texts(name: str, texts: Iterable[str]) -> None:
    """Refuse one text where several are expected: it would count as a text for each of its characters.

    Raises:
        TypeError: naming the argument, and what came.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name}: expected a list of texts, got the text {texts[:40]!r}; [text] is a list of one")


def characters(text: str) -> str:
    """Unicode NFC with LF at the ends of lines, and without byte order marks, which joined files have inside, too.

    >>> characters("\\ufeffO\\u0308l\\r\\n")
    'Öl\\n'
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text.replace(BOM, ""))


def line(text: str) -> str:
    """A text as a corpus has it that keeps one text a line: without white space around it, and without line ends.

    >>> line("  To be,\\n   or not  to be\\n")
    'To be, or not  to be'
    """
    return re.sub(r"\s*\n\s*", " ", characters(text).strip())


def passage(text: str) -> str:
    """A text whose words are one space apart, as those that words are missing from.

    >>> passage("To be,\\n  or not  to be ")
    'To be, or not to be'
    """
    return " ".join(characters(text).split())
