"""Text normalisation, the same for training data, input of commands, and strings in Python."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

BOM = "\ufeff"
UNFINISHED = "\ufffd"  # the first bytes of a character, decoded


def check_texts(name: str, texts: Iterable[str]) -> None:
    """Refuse a single string where a list is expected, as it would be read as a list of characters.

    Raises:
        TypeError: with the argument's name and value.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name}: expected a list of texts, got the text {texts[:40]!r}; [text] is a list of one")
    if not isinstance(texts, Iterable):
        raise TypeError(f"{name}: expected a list of texts, got {texts!r}")


def characters(text: str) -> str:
    """Normalise characters: Unicode NFC, LF at the ends of lines, no byte order marks, also inside.

    >>> characters("\\ufeffO\\u0308l\\r\\n")
    'Öl\\n'
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text.replace(BOM, ""))


def line(text: str) -> str:
    """Normalise a line: no surrounding white space, no line ends.

    >>> line("  To be,\\n   or not  to be\\n")
    'To be, or not  to be'
    """
    return re.sub(r"\s*\n\s*", " ", characters(text).strip())


def passage(text: str) -> str:
    """Normalise a passage: words separated by one space.

    >>> passage("To be,\\n  or not  to be ")
    'To be, or not to be'
    """
    return " ".join(characters(text).split())
