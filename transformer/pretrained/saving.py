"""Saving of models, in the format of a Hugging Face family that expresses them exactly, or else in our own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.io import to_bytes
from transformer.data.chat_template import SETTING, write_templates
from transformer.data.tokenizer import ROLES, Tokenizer
from transformer.decode import GenerationConfig
from transformer.json_object import json_object, to_json
from transformer.model.config import TransformerConfig
from transformer.model.lora import LoraConfig
from transformer.pretrained.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_contents
from transformer.pretrained.directory import (
    ADDED_TOKENS,
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    LEGACY,
    OF_MODEL,
    OWN,
    QUANTIZATION,
    TOKENIZER,
    TOKENIZER_CONFIG,
    TOKENS,
    check_vocabulary,
)
from transformer.pretrained.huggingface import FAMILIES, WEIGHTS

Arrays = dict[str, np.ndarray[Any, Any]]


def model_files(
    model: nn.Module,
    config: TransformerConfig,
    generation: GenerationConfig | None = None,
    tokenizer: Tokenizer | None = None,
    quantization: str | None = None,
    family: str | None = None,
) -> Iterator[tuple[str, bytes | None]]:
    """Names and contents of a model directory's files, one at a time; None for those to be removed.

    Args:
        model: its class is named in ``config.json``.
        config: of the model.
        generation: its generation settings, if it is generative.
        tokenizer: of the model, to be written beside it.
        quantization: the format of its weights, if they are quantised.
        family: the ``model_type`` that the model was read from, preferred to others.

    Raises:
        ValueError: the tokenizer has more tokens than the model.
    """
    if tokenizer is not None:
        check_vocabulary(config, tokenizer)
    return _files(model, config, generation, tokenizer, quantization, family)


def adapter_files(
    model: Any, lora: LoraConfig, base: str, tokenizer: Tokenizer | None = None
) -> Iterator[tuple[str, bytes | None]]:
    """Names and contents of an adapter directory's files; None for those to be removed.

    Args:
        model: with adapters.
        lora: their configuration.
        base: directory of the model that they belong to.
        tokenizer: of the model, to be written beside them.
    """
    yield from adapter_contents(model, lora, base)
    for name in OF_MODEL:
        yield name, None
    if tokenizer is not None:
        yield from _tokenizer_files(model.config, tokenizer)


def _files(
    model: nn.Module,
    config: TransformerConfig,
    generation: GenerationConfig | None,
    tokenizer: Tokenizer | None,
    quantization: str | None,
    family: str | None,
) -> Iterator[tuple[str, bytes | None]]:
    state = {name: value.data for name, value in model.state_dict().items()}
    kind = type(model).__name__
    document, arrays = _as_our_own(kind, config, state)
    if quantization is not None:
        document[QUANTIZATION] = quantization
    elif theirs := _as_hugging_face(kind, config, state, family):
        document, arrays = theirs
    yield CONFIG, to_json(document)
    yield WEIGHTS, to_bytes(arrays, {"format": "pt"})
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        yield name, None
    if generation is not None:
        yield GENERATION, to_json(_generation_document(config, generation))
    if tokenizer is not None:
        yield from _tokenizer_files(config, tokenizer)


def _tokenizer_files(config: TransformerConfig, tokenizer: Tokenizer) -> Iterator[tuple[str, bytes | None]]:
    yield TOKENIZER, tokenizer.to_json().encode()
    yield TOKENIZER_CONFIG, to_json(_tokenizer_document(config, tokenizer))
    for name in (*LEGACY, CHAT_TEMPLATE):  # of another tokenizer
        yield name, None


def _generation_document(config: TransformerConfig, generation: GenerationConfig) -> dict[str, Any]:
    """Content of ``generation_config.json``, with the special tokens."""
    start = config.start_id if config.is_encoder_decoder else None
    tokens = {f"{name}_token_id": getattr(config, f"{name}_id") for name in TOKENS} | {"decoder_start_token_id": start}
    return {**{name: i for name, i in tokens.items() if i is not None}, **json_object(generation.to_json())}


def _tokenizer_document(config: TransformerConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """Content of ``tokenizer_config.json``, with BERT's names for an encoder."""
    words = 0 if config.decoder_layers else -1
    names = {ROLES[role][0][words]: token for role, token in tokenizer.special_names.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_length,
        **names,
        ADDED_TOKENS: tokenizer.added_tokens,
        **({} if tokenizer.chat_template is None else {SETTING: write_templates(tokenizer.chat_template)}),
    }


def _as_hugging_face(
    kind: str, config: TransformerConfig, state: Arrays, preferred: str | None
) -> tuple[dict[str, Any], Arrays] | None:
    """Hugging Face's ``config.json`` and weights, of the first family that expresses the configuration exactly."""
    for family in sorted(FAMILIES.values(), key=lambda family: family.model_type != preferred):
        for name, architecture in family.architectures.items():
            settings = family.write(config, architecture) if architecture.kind == kind else None
            if settings is not None:
                head = {"model_type": family.model_type, "architectures": [name]}
                return {**head, **settings}, family.pack(architecture, config, state)
    return None


def _as_our_own(kind: str, config: TransformerConfig, state: Arrays) -> tuple[dict[str, Any], Arrays]:
    return {"model_type": OWN, "architectures": [kind], **dataclasses.asdict(config)}, state
