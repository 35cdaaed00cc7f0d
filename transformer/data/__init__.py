"""Text in: corpora of sentence pairs, generated or read from files."""

from __future__ import annotations

from transformer.data import cldr, parallel
from transformer.data.parallel import Pair, read_pairs, split_pairs

__all__ = ["Pair", "cldr", "parallel", "read_pairs", "split_pairs"]
