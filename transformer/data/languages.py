"""Languages of multilingual tokenizers: tokens beside a text (NLLB, mBART, M2M-100), or a prefix of it (Marian)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

CODE = re.compile(r"[a-z]{2,3}_([A-Z]{2}|[A-Z][a-z]{3})|__[a-z]{2,3}__")  # mBART's, NLLB's and M2M-100's, of any text
PREFIX = re.compile(r">>[^\s<>]+<<")  # Marian's, for the target language
SHOWN = 10  # of them, in an error


def check_language(language: str, known: Mapping[str, int]) -> int:
    """Id of a language's token.

    Raises:
        ValueError: the vocabulary has no such language.
    """
    if language not in known:
        names = ", ".join(sorted(known)[:SHOWN]) + " …" if known else "none"
        raise ValueError(f"language: expected one of this model's, {names}; got {language!r}")
    return known[language]


def prefix_of(text: str, known: Mapping[str, int]) -> str:
    """Prefix that a text begins with, for the target language; empty if it has none, or the vocabulary has none.

    Raises:
        ValueError: the vocabulary has no such language.
    """
    found = PREFIX.match(text) if isinstance(text, str) and known and text.startswith(">>") else None
    if found is None:
        return ""
    if found[0] not in known:
        names = ", ".join(sorted(known)[:SHOWN])
        raise ValueError(f"texts: {found[0]} is no language of this model; those are {names} …")
    return found[0]


def mark_language(document: dict[str, Any], language: str, known: Mapping[str, int]) -> None:
    """Change a ``tokenizer.json`` such that encoded texts are marked with another language.

    Raises:
        ValueError: the vocabulary has no such language, or texts are not marked.
    """
    token = {"id": language, "ids": [check_language(language, known)], "tokens": [language]}
    changed = False
    for template in _templates(document["post_processor"]):
        template["special_tokens"][language] = token
        for part in (*template["single"], *template["pair"]):
            if (special := part.get("SpecialToken")) is not None and special["id"] in known:
                special["id"], changed = language, True
    if not changed:
        raise ValueError(f"language: texts of this tokenizer have no mark of a language, got {language!r}")


def _templates(processor: Any) -> Iterator[dict[str, Any]]:
    """Templates of a post-processor, which may be a sequence of them and others."""
    if not isinstance(processor, dict):
        return
    if processor.get("type") == "TemplateProcessing":
        yield processor
    for below in processor.get("processors", ()):
        yield from _templates(below)
