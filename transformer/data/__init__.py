"""Data: corpora as plain lists, generated, fetched, or read from files; tokenizers; batches."""

from __future__ import annotations

from transformer.data import cldr, debian, parallel
from transformer.data.docstrings import docstrings
from transformer.data.parallel import Pair, first_sentence, read_pairs, split_pairs
from transformer.data.python_reference import language_reference
from transformer.data.text_files import read_passages, read_texts
from transformer.data.validation import Corpus, Faults

__all__ = [
    "Corpus",
    "Faults",
    "Pair",
    "cldr",
    "debian",
    "docstrings",
    "first_sentence",
    "language_reference",
    "parallel",
    "read_pairs",
    "read_passages",
    "read_texts",
    "split_pairs",
]
