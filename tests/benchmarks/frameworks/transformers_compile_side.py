"""Language models in ``transformers`` through ``torch.compile``."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.frameworks.torch_side import start
from tests.benchmarks.models import torch_language

__all__ = ["decode_language", "start"]

decode_language = partial(torch_language.decode_language, compiled=True)
