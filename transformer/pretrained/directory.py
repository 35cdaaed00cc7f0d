"""File names of a model directory: those of the model and those of the tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformer.data.tokenizer import Tokenizer
from transformer.model.config import TransformerConfig
from transformer.pretrained.huggingface import INDEX, WEIGHTS

CONFIG, GENERATION = "config.json", "generation_config.json"
TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
LEGACY = (SPECIAL_TOKENS, "added_tokens.json")  # used if TOKENIZER_CONFIG does not list ADDED_TOKENS
CHAT_TEMPLATE = "chat_template.jinja"  # counts instead of that in TOKENIZER_CONFIG
CHAT_TEMPLATES = "additional_chat_templates"  # folder of others beside it
ADDED_TOKENS = "added_tokens_decoder"
OF_MODEL = (CONFIG, GENERATION, WEIGHTS, INDEX)
OF_TOKENIZER = (CONFIG, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, CHAT_TEMPLATE)
OWN = "transformer"  # the model_type of our format
QUANTIZATION = "quantization"  # in CONFIG, the format of quantised weights
KINDS: dict[str, Callable[[TransformerConfig], Any]] = {}  # the classes of models, which enter themselves
TOKENS = ("pad", "bos", "eos", "decoder_start")


def check_vocabulary(config: TransformerConfig, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer with more tokens than the model.

    Raises:
        ValueError: it has more.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(f"the model has vocab_size={config.vocab_size}, the tokenizer {tokenizer.vocab_size} tokens")
