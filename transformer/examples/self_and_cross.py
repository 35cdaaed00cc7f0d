"""Self-attention and cross-attention: what the trained demo loses without the one or the other.

Each row hides something from the model by a mask, or by the wrong source, and has the held-out loss in nats a token,
and the share of the target's tokens that are predicted, given those before: of all; of those that the source has too,
such as digits, which can be copied; and of the others, which have to be translated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.cli import console
from transformer.data.batches import IGNORED
from transformer.examples import trained_demo
from transformer.examples.trained_demo import Demo
from transformer.model.attention import MultiHeadAttention, Visibility

Mask = Callable[[int, int], Tensor]  # of a number of queries and of keys


class Masked(nn.Module):
    """Attention with another mask than the model gives it."""

    def __init__(self, attention: MultiHeadAttention, mask: Mask) -> None:
        self.attention, self.mask = attention, mask

    def forward(self, query: Tensor, memory: Tensor, *_: Any) -> Tensor:
        visible = Visibility(self.mask(query.shape[1], memory.shape[1]))
        output: Tensor = self.attention(query, memory, visible)
        return output


def only_itself(queries: int, keys: int) -> Tensor:
    """Mask by which a token attends to itself alone."""
    return mg.eye(queries, keys, dtype=mg.bool)


def nothing(queries: int, keys: int) -> Tensor:
    """Mask that hides all keys."""
    return mg.zeros((queries, keys), dtype=mg.bool)


HIDDEN: dict[str, list[tuple[str, str, Mask]]] = {  # stack, attention, its mask
    "nothing": [],
    "other tokens from the encoder": [("encoder", "self_attention", only_itself)],
    "earlier tokens from the decoder": [("decoder", "self_attention", only_itself)],
    "the source from the decoder": [("decoder", "cross_attention", nothing)],
}


class Scores(NamedTuple):
    """Held-out scores: loss, and shares of right tokens."""

    loss: float
    all: float
    copied: float
    others: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    trained_demo.add_arguments(parser, phrases=1000)


def run(args: argparse.Namespace) -> None:
    """Run the study: a row for each thing that is hidden."""
    demo = trained_demo.load(args.model, args.phrases)
    console.out.print(f"{'':43}right tokens")
    console.out.print(f"{'hidden':33} {'loss':>6} {'all':>9} {'in the source':>15} {'others':>8}")
    for name, parts in HIDDEN.items():
        with ExitStack() as stack:
            for part in parts:
                stack.enter_context(masked(demo, *part))
            _print(name, measure(demo))
    _print("the right source: it has another", measure(demo, shift=1))


def _print(name: str, found: Scores) -> None:
    console.out.print(f"{name:33} {found.loss:6.3f} {found.all:9.1%} {found.copied:15.1%} {found.others:8.1%}")


@contextmanager
def masked(demo: Demo, stack: str, attention: str, mask: Mask) -> Iterator[None]:
    """Mask the attention of all layers of a stack in a ``with`` block."""
    layers = list(getattr(demo.model, stack).layers)
    before = [getattr(layer, attention) for layer in layers]
    for layer, module in zip(layers, before, strict=True):
        setattr(layer, attention, Masked(module, mask))
    try:
        yield
    finally:
        for layer, module in zip(layers, before, strict=True):
            setattr(layer, attention, module)


def measure(demo: Demo, shift: int = 0) -> Scores:
    """Measure the model on the held-out phrases; with a shift, on the source of another phrase of the batch."""
    losses, right, copied = [], [], []
    with demo.model.evaluating(), mg.no_grad():
        for batch in demo.batches.epoch(0):
            source, target = batch.inputs
            logits = demo.model(np.roll(source, shift, axis=0), target)
            real = batch.labels != IGNORED
            labels = batch.labels[real]
            losses.append(F.cross_entropy(logits[real], labels, reduction="none").numpy())
            right.append(logits.numpy().argmax(-1)[real] == labels)
            in_source = (batch.labels[:, :, None] == source[:, None, :]).any(-1)[real]
            copied.append(in_source & (labels != demo.model.config.eos_id))
    loss, hits, same = (np.concatenate(parts) for parts in (losses, right, copied))
    return Scores(float(loss.mean()), float(hits.mean()), float(hits[same].mean()), float(hits[~same].mean()))
