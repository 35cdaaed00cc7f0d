"""ONNX export of models."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import minigrad as mg
from transformer.pretrained import (
    Decoder,
    Encoder,
    MaskedLM,
    PretrainedModel,
    SequenceClassifier,
    TokenClassifier,
    Transformer,
)

LENGTHS = {0: "batch", 1: "length"}
TARGETS = {0: "batch", 1: "target_length"}


def export_onnx(model: PretrainedModel, path: str | os.PathLike[str]) -> None:
    """Export a model in evaluation mode to ONNX, for any batch size and any length up to ``max_length``.

    The inputs are ``input_ids`` and ``attention_mask`` (1 at tokens, 0 at padding); for a :class:`Transformer` also
    ``decoder_input_ids``, and for an encoder with token types ``token_type_ids``. The output is ``logits``, or
    ``last_hidden_state`` for an :class:`Encoder`.

    Args:
        model: any of this package but a :class:`Decoder` alone.
        path: the file to write.

    Raises:
        TypeError: the model is a decoder alone.
        ValueError: it has too few positions to be tried with different lengths, fewer than about a dozen.
        ModuleNotFoundError: onnx is not installed.

    Example::

        export_onnx(from_pretrained("my-model"), "my-model.onnx")
    """
    if isinstance(model, Decoder):
        raise TypeError("model: expected a whole model or an Encoder, got a Decoder; export the CausalLM around it")
    longest = model.config.max_length
    ids = np.arange(6).reshape(2, 3) % model.config.vocab_size
    mask = np.array([[1, 1, 1], [1, 1, 0]])
    inputs: dict[str, tuple[Any, dict[int, str]]] = {"input_ids": (ids, LENGTHS)}
    if isinstance(model, Transformer):
        inputs["decoder_input_ids"] = (ids[:, :2], TARGETS)
    inputs["attention_mask"] = (mask, LENGTHS)
    readers = Encoder, MaskedLM, SequenceClassifier, TokenClassifier
    if isinstance(model, readers) and model.config.encoder_layers and model.config.token_types:
        inputs["token_type_ids"] = (ids % model.config.token_types, LENGTHS)
    with model.evaluating():
        document = mg.onnx.export(
            model,
            *(example for example, _ in inputs.values()),
            dynamic=[axes for _, axes in inputs.values()],
            input_names=list(inputs),
            output_names=["last_hidden_state" if isinstance(model, Encoder) else "logits"],
            max_sizes={"length": longest, **({"target_length": longest} if isinstance(model, Transformer) else {})},
        )
    mg.onnx.save(document, path)
