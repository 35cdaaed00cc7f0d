"""Decoding: from a model's logits to texts.

config → protocol (of a model and its state) → state (of our models) → processors (of logits) → hypothesis (a growing
text) → plan (a configuration, applied to a batch) → sampling, beams → generation.
"""

from transformer.decode.config import GenerationConfig
from transformer.decode.generation import generate, stream
from transformer.decode.hypothesis import Hypothesis
from transformer.decode.protocol import Decoding, Generative

__all__ = ["Decoding", "GenerationConfig", "Generative", "Hypothesis", "generate", "stream"]
