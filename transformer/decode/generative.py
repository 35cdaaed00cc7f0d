"""Models that write text."""

from __future__ import annotations

from typing import Any

from transformer.decode import GenerationConfig, Hypothesis, generate
from transformer.decode.state import DecodingState
from transformer.model.config import TransformerConfig
from transformer.pretrained import PretrainedModel


class GenerativeModel(PretrainedModel, whole=False):
    """A model that writes one token after another, each given those before.

    ``generation`` says how, where nothing else is asked for.
    """

    generation: GenerationConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.generation = GenerationConfig()

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """Make ready to write: see :class:`DecodingState`."""
        raise TypeError(f"{type(self).__name__} defines no begin()")

    def generate(
        self, input_ids: Any, max_new_tokens: int | None = None, *, attention_mask: Any = None, **choices: Any
    ) -> list[Hypothesis]:
        """What the model writes for each row (B, T): see :func:`transformer.decode.generate`."""
        return generate(self, input_ids, attention_mask, max_new_tokens=max_new_tokens, **choices)
