"""Decoding: from a model's logits to texts.

protocol → config → processors → texts → sampling, beams → generation: what is asked of a model; how to decode; what
changes the next token's logits; a text that grows until it stops; the two ways to write it; and the door to both.
"""

from transformer.decode.config import GenerationConfig
from transformer.decode.generation import generate, stream
from transformer.decode.hypothesis import Hypothesis
from transformer.decode.protocol import Decoding, Generative

__all__ = ["Decoding", "GenerationConfig", "Generative", "Hypothesis", "generate", "stream"]
