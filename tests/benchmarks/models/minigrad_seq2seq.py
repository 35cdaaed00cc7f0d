"""The encoder-decoder in minigrad: that of the package ``transformer``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minigrad import Tensor
from tests.benchmarks.job import Program
from tests.benchmarks.models import seq2seq
from tests.benchmarks.models.minigrad_training import training
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from transformer import Transformer, TransformerConfig
from transformer.data.batches import IGNORED, Batch
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
