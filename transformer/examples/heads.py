"""Attention heads: where the heads of the trained demo look, and how much worse it translates without each of them.

For every head, the mean over the tokens of held-out phrases: the number of keys that it effectively attends to (the
exponential of the entropy of its weights), and its weight on some of them: the previous token, the token itself, the
next one, the special tokens at start and end. `copied` is the weight on source tokens that equal the token to be
written, where there are any. `without` is the increase of the held-out loss, in nats a token, when the head's columns
of Wᴼ are zero; `all`, when all heads of the layer are removed.

Removed heads: Michel, Levy and Neubig, 2019: "Are sixteen heads really better than one?", section 3.2.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import minigrad as mg
from transformer.cli import console
from transformer.data.batches import IGNORED
from transformer.examples import trained_demo
from transformer.examples.trained_demo import Demo
from transformer.model.attention import MultiHeadAttention, record_attention
from transformer.train import held_out_loss

OF_SELF = ("keys", "previous", "itself", "next", "start, end")
OF_CROSS = ("keys", "copied", "start, end")

Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    trained_demo.add_arguments(parser, phrases=300)


def run(args: argparse.Namespace) -> None:
    """Run the study: a table of the heads of self-attention, and one of those of cross-attention."""
    demo = trained_demo.load(args.model, args.phrases)
    found = patterns(demo)
    whole = held_out_loss(demo.model, demo.batches.epoch(0))
    console.out.print(f"held-out loss {whole:.3f}")
    for kind, columns in (("self_attention", OF_SELF), ("cross_attention", OF_CROSS)):
        titles = "".join(f"{title:>12}" for title in columns)
        console.out.print(f"\n{kind.replace('_', '-'):15}  layer  head{titles}     without")
        for name, attention in layers(demo):
            if not name.endswith(kind):
                continue
            stack, _, number, _ = name.split(".")
            begin = f"{stack:15} {int(number) + 1:6}"
            for head, means in enumerate(found[name]):
                loss = loss_without(demo, attention, slice(head, head + 1))
                cells = "".join(f"{mean:12.2f}" for mean in means)
                console.out.print(f"{begin} {head + 1:5}{cells} {loss - whole:11.3f}")
            loss = loss_without(demo, attention, slice(None))
            console.out.print(f"{begin}   all{'':{len(titles)}} {loss - whole:11.3f}")


def layers(demo: Demo) -> list[tuple[str, MultiHeadAttention]]:
    """Attention layers of the model, by name."""
    return [(name, module) for name, module in demo.model.named_modules() if isinstance(module, MultiHeadAttention)]


def loss_without(demo: Demo, attention: MultiHeadAttention, heads: slice) -> float:
    """Held-out loss without some heads of a layer."""
    with removed(attention, heads):
        return held_out_loss(demo.model, demo.batches.epoch(0))


@contextmanager
def removed(attention: MultiHeadAttention, heads: slice) -> Iterator[None]:
    """Remove heads in a ``with`` block: the output projection has zeros for them."""
    weight = attention.output.weight.data  # (d_model, H·D)
    columns = weight.reshape(len(weight), attention.num_heads, attention.d_k)[:, heads]  # a view
    before = columns.copy()
    columns[...] = 0
    try:
        yield
    finally:
        columns[...] = before


def patterns(demo: Demo) -> dict[str, Array]:
    """Means over the tokens of the phrases: for each layer (H, columns), the columns as in its table."""
    config = demo.model.config
    ends = [id for id in (config.bos_id, config.eos_id) if id is not None]
    found: dict[str, list[Array]] = {}
    with record_attention(demo.model) as recorded, demo.model.evaluating(), mg.no_grad():
        for batch in demo.batches.epoch(0):
            source, target = (np.asarray(ids) for ids in batch.inputs)
            demo.model(source, target)
            for name, weights in recorded.items():
                in_encoder, crosses = name.startswith("encoder"), name.endswith("cross_attention")
                real = source != config.pad_id if in_encoder else batch.labels != IGNORED
                keys = source if in_encoder or crosses else target
                special = np.isin(keys, ends)[:, None, :]
                if crosses:
                    chosen = [(batch.labels[:, :, None] == source[:, None, :]) & ~special]
                else:
                    distance = np.arange(keys.shape[1]) - np.arange(keys.shape[1])[:, None]
                    chosen = [distance == step for step in (-1, 0, 1)]
                shape = (*real.shape, keys.shape[1])
                marks = [np.broadcast_to(mark, shape)[real][:, None] for mark in (*chosen, special)]  # (tokens, 1, K)
                by_token = np.moveaxis(weights.numpy(), 1, 2)[real]  # (tokens, H, K)
                columns = [effective_keys(by_token), *((by_token * mark).sum(-1) for mark in marks)]
                if crosses:
                    columns[1] = np.where(marks[0].any(-1), columns[1], np.nan)  # of tokens that the source has
                found.setdefault(name, []).append(np.stack(columns, -1))
    return {name: np.nanmean(np.concatenate(rows), 0) for name, rows in found.items()}


def effective_keys(weights: Array) -> Array:
    """Effective number of keys: the exponential of the entropy of weights (…, K)."""
    found: Array = np.exp(-(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1))
    return found
