"""Language models in ``transformers``."""

from __future__ import annotations

from tests.benchmarks.frameworks.torch_side import start
from tests.benchmarks.models.torch_language import decode_language

__all__ = ["decode_language", "start"]
