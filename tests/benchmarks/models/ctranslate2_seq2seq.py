"""The encoder-decoder in CTranslate2, converted from the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from ctranslate2 import Translator
from ctranslate2.specs import TransformerSpec, common_spec

from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program
from tests.benchmarks.models import seq2seq
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from tests.benchmarks.models.weights import Weights


def spec_of(size: Seq2SeqSize, weights: Weights) -> TransformerSpec:
    """The model in CTranslate2's own terms."""
    spec = TransformerSpec.from_config(size.layers, size.heads, pre_norm=False, activation=common_spec.Activation.RELU)
    table, positions = weights["encoder.tokens.weight"], seq2seq.positions(seq2seq.LONGEST, size.width)
    spec.encoder.embeddings[0].weight = spec.decoder.embeddings.weight = spec.decoder.projection.weight = table
    spec.encoder.position_encodings.encodings = spec.decoder.position_encodings.encodings = positions

    def set_linear(linear: Any, *names: str) -> None:
        """One linear layer for several of the same input."""
        linear.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
        linear.bias = np.concatenate([weights[f"{name}.bias"] for name in names])

    def set_norm(norm: Any, name: str) -> None:
        norm.gamma, norm.beta = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]

    for side in ("encoder", "decoder"):
        for number, layer in enumerate(getattr(spec, side).layer):
            name = f"{side}.layers.{number}"
            own, cross, inner = (f"{name}.{part}" for part in ("self_attention", "cross_attention", "feed_forward"))
            set_linear(layer.self_attention.linear[0], *(f"{own}.{part}" for part in ("query", "key", "value")))
            set_linear(layer.self_attention.linear[1], f"{own}.output")
            set_norm(layer.self_attention.layer_norm, f"{own}_residual")
            if side == "decoder":
                set_linear(layer.attention.linear[0], f"{cross}.query")
                set_linear(layer.attention.linear[1], f"{cross}.key", f"{cross}.value")
                set_linear(layer.attention.linear[2], f"{cross}.output")
                set_norm(layer.attention.layer_norm, f"{cross}_residual")
            set_linear(layer.ffn.linear_0, f"{inner}.expand")
            set_linear(layer.ffn.linear_1, f"{inner}.contract")
            set_norm(layer.ffn.layer_norm, f"{inner}_residual")
    names = [str(token) for token in range(size.vocabulary)]
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.decoder_start_token = spec.config.bos_token = str(seq2seq.BOS)
    spec.config.eos_token = str(seq2seq.EOS)
    return spec


def translate(size: Seq2SeqSize, rows: int, beams: int, format: str) -> Program:
    """Translation of a batch."""
    spec = spec_of(size, seq2seq.endless_weights(size))
    spec.validate()
    with tempfile.TemporaryDirectory() as folder:
        spec.save(folder)
        translator = Translator(folder, compute_type=format)
    source = [[str(token) for token in row] for row in seq2seq.source(size, rows).tolist()]

    def call() -> Sequence[Any]:
        return translator.translate_batch(
            source,
            beam_size=beams,
            min_decoding_length=0,
            max_decoding_length=seq2seq.NEW_TOKENS,
            return_scores=True,
        )

    def results() -> dict[str, Array]:
        found = call()
        return {
            "tokens": np.array([[int(token) for token in text.hypotheses[0]] for text in found]),
            "log-probabilities": np.array([seq2seq.NEW_TOKENS * text.scores[0] for text in found], np.float32),
        }

    return Program(call, results)
