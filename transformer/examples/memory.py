"""Encoder memory: how the trained demo's decoder translates when the encoder's output is another one.

The loss is that of held-out phrases, in nats a token; `exact` is the share of greedy translations that equal their
reference.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from transformer.cli import console
from transformer.data.parallel import Pair
from transformer.evaluate import transduce
from transformer.examples import trained_demo
from transformer.examples.trained_demo import BATCH, Demo
from transformer.model.stacks import Encoder
from transformer.tasks import TASKS
from transformer.train import held_out_loss

Change = Callable[[Encoder, Tensor, Tensor], Tensor]  # encoder, ids (B, S), mask of real tokens (B, S), to (B, S, D)


def whole(encoder: Encoder, ids: Tensor, real: Tensor) -> Tensor:
    """Memory as it is."""
    return encoder(ids, real)


def vectors_shuffled(encoder: Encoder, ids: Tensor, real: Tensor) -> Tensor:
    """Memory whose vectors are in a random order."""
    return _shuffled(encoder(ids, real), real)


def tokens_shuffled(encoder: Encoder, ids: Tensor, real: Tensor) -> Tensor:
    """Memory of the source's tokens in a random order."""
    return encoder(_shuffled(ids, real), real)


def mean(encoder: Encoder, ids: Tensor, real: Tensor) -> Tensor:
    """Memory of one vector: the mean of all."""
    memory = encoder(ids, real).numpy()
    share = real.numpy()[:, :, None] / real.numpy().sum(1)[:, None, None]
    return mg.asarray(np.broadcast_to((memory * share).sum(1, keepdims=True), memory.shape).astype(np.float32))


def zeros(encoder: Encoder, ids: Tensor, real: Tensor) -> Tensor:
    """Memory without content."""
    return mg.zeros_like(encoder(ids, real))


def first_layers(count: int) -> Change:
    """Memory behind the first layers."""

    def change(encoder: Encoder, ids: Tensor, real: Tensor) -> Tensor:
        layers = encoder.layers
        encoder.layers = nn.ModuleList(list(layers)[:count])
        try:
            return encoder(ids, real)
        finally:
            encoder.layers = layers

    return change


MEMORIES: dict[str, Change] = {
    "as it is": whole,
    "vectors in random order": vectors_shuffled,
    "of tokens in random order": tokens_shuffled,
    "their mean, one vector": mean,
    "all zeros": zeros,
    "behind one layer": first_layers(1),
    "behind no layer": first_layers(0),
}


class ChangedEncoder(nn.Module):
    """Encoder with another memory."""

    def __init__(self, encoder: Encoder, change: Change) -> None:
        self.encoder, self.change = encoder, change

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Tensor:
        ids = mg.asarray(input_ids)
        real = mg.ones(ids.shape, dtype=mg.bool) if attention_mask is None else mg.asarray(attention_mask)
        return self.change(self.encoder, ids, real)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    trained_demo.add_arguments(parser, phrases=300)


def run(args: argparse.Namespace) -> None:
    """Run the study: a row for each memory, and one for the memories of other phrases."""
    demo = trained_demo.load(args.model, args.phrases)
    console.out.print("memory                         loss   exact")
    for name, change in MEMORIES.items():
        console.out.print(f"{name:28} {' '.join(measure(demo, demo.phrases, change))}")
    sources, targets = zip(*demo.phrases, strict=True)
    others = list(zip((*sources[1:], sources[0]), targets, strict=True))
    console.out.print(f"{'of another phrase':28} {' '.join(measure(demo, others, whole))}")


def measure(demo: Demo, phrases: Sequence[Pair], change: Change) -> tuple[str, str]:
    """Held-out loss and exact matches with another memory."""
    batches = TASKS["translate"].batches(phrases, demo.tokenizer, demo.model.config, BATCH, seed=0)
    encoder = demo.model.encoder
    demo.model.encoder = ChangedEncoder(encoder, change)  # type: ignore[assignment]
    try:
        loss = held_out_loss(demo.model, batches.epoch(0))
        texts = transduce(demo.model, demo.tokenizer, [source for source, _ in phrases], num_beams=1)
    finally:
        demo.model.encoder = encoder
    exact = np.mean([text == target for text, (_, target) in zip(texts, phrases, strict=True)])
    return f"{loss:6.3f}", f"{exact:7.1%}"


def _shuffled(rows: Tensor, real: Tensor) -> Tensor:
    """Rows (B, S, …) with their real entries in a random order; the last one, the end token, stays."""
    rng, found = np.random.default_rng(0), np.array(rows.numpy())
    for row, length in zip(found, real.numpy().sum(1), strict=True):
        row[: length - 1] = row[rng.permutation(length - 1)]
    return mg.asarray(found)
