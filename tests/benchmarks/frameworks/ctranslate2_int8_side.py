"""Translation in CTranslate2, its products in int8."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.frameworks.ctranslate2_side import start
from tests.benchmarks.models import ctranslate2_seq2seq

__all__ = ["start", "translate"]

translate = partial(ctranslate2_seq2seq.translate, compute_type="int8")
