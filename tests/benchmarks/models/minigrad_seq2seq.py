"""The encoder-decoder in minigrad: that of the package ``transformer``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minigrad import Tensor, no_grad
from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program
from tests.benchmarks.models import seq2seq
from tests.benchmarks.models.minigrad_training import training
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from transformer import Transformer, TransformerConfig
from transformer.data.batches import IGNORED, Batch
from transformer.decode import Hypothesis, generate
from transformer.train import batch_loss


def model_of(size: Seq2SeqSize, dropout: float) -> Transformer:
    """The model, its weights not yet those of the benchmark."""
    config = TransformerConfig(
        vocab_size=size.vocabulary,
        d_model=size.width,
        num_heads=size.heads,
        d_ff=size.inner,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        dropout=dropout,
        pad_id=seq2seq.PAD,
        bos_id=seq2seq.BOS,
        eos_id=seq2seq.EOS,
    )
    return Transformer(config)


def train_seq2seq(size: Seq2SeqSize, dropout: float) -> Program:
    """A training step on a batch of each length."""
    model = model_of(size, dropout)
    model.load_state_dict(seq2seq.weights(size))
    losses: list[Callable[[], Tensor]] = [
        partial(
            batch_loss,
            model,
            Batch((source, target_in), np.where(target_out == seq2seq.PAD, IGNORED, target_out)),
            seq2seq.LABEL_SMOOTHING,
        )
        for source, target_in, target_out in seq2seq.batches(size)
    ]
    return training(model, losses)


def endless_model(size: Seq2SeqSize) -> Transformer:
    """The model of translations."""
    model = model_of(size, dropout=0.0)
    model.load_state_dict(seq2seq.endless_weights(size))
    model.eval()
    return model


def translate(size: Seq2SeqSize, rows: int, beams: int, format: str) -> Program:
    """Translation of a batch, with weights of a format."""
    model, source = endless_model(size), seq2seq.source(size, rows)
    if format != "float32":
        model.quantize(format)

    def call() -> list[Hypothesis]:
        return generate(model, source, num_beams=beams, max_new_tokens=seq2seq.NEW_TOKENS)

    def results() -> dict[str, Array]:
        found = call()
        return {
            "tokens": np.array([text.ids for text in found]),
            "log-probabilities": np.array([text.log_probability for text in found], np.float32),
        }

    return Program(call, results)


def forward_seq2seq(size: Seq2SeqSize, rows: int) -> Program:
    """Logits of all target tokens at once."""
    model, source, target = endless_model(size), seq2seq.source(size, rows), seq2seq.target(size, rows)

    def call() -> Tensor:
        with no_grad():
            logits: Tensor = model(source, target)
            return logits

    return Program(call, lambda: {"logits": call().numpy()})
