"""Translation in CTranslate2."""

from __future__ import annotations

from tests.benchmarks.models.ctranslate2_seq2seq import translate

__all__ = ["start", "translate"]


def start(threads: int) -> None:
    """Nothing is left to do: the number of threads is in the environment."""
