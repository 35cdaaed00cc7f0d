"""Translation in CTranslate2, in float32."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.models import ctranslate2_seq2seq

__all__ = ["start", "translate"]

translate = partial(ctranslate2_seq2seq.translate, compute_type="float32")


def start(threads: int) -> None:
    """Nothing is left to do: the number of threads is in the environment."""
