"""Masks: what a model learns and writes when its causal mask or its padding mask is wrong.

The first table trains small language models on random tokens, of which nothing can be predicted: the best loss is the
entropy, ln 32 = 3.466 nats. A loss below it is a leak, and proves that the answer can be seen. `influence` is another
test for one: the largest change of any earlier logit when the last token of a text is exchanged.

The second table pads the sources of the trained demo to ever greater lengths, and counts the translations that equal
their reference: with the padding mask, for padding on either side, and without it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from transformer.cli import console
from transformer.data.batches import Batch, pad
from transformer.decode import generate
from transformer.examples import trained_demo
from transformer.examples.trained_demo import Demo
from transformer.model.attention import MultiHeadAttention, causal_mask
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM
from transformer.train import Trainer, TrainingConfig, held_out_loss

TOKENS, LENGTH, BATCH, HELD_OUT = 32, 16, 32, 20
PADDING = (0, 1, 4, 16)

Weigh = Callable[[Tensor, Tensor], Tensor]  # scores (B, H, T, T) and the causal mask (T, T) to weights


def next_visible(scores: Tensor, mask: Tensor) -> Tensor:
    """Mask that is off by one: each position sees the next one too."""
    mask = mg.asarray(np.tri(mask.shape[-1], k=1, dtype=bool))
    return mg.softmax(mg.where(mask, scores, -mg.inf), -1)


def itself_hidden(scores: Tensor, mask: Tensor) -> Tensor:
    """Mask that is off by one to the other side; the first position, which sees nothing, has the weights 0."""
    mask = mg.asarray(np.tri(mask.shape[-1], k=-1, dtype=bool))
    return mg.where(mask, mg.softmax(mg.where(mask, scores, -1e9), -1), 0.0)


VARIANTS: dict[str, tuple[Weigh | None, int]] = {  # and how far the labels are shifted; None: the library's own mask
    "j ≤ i": (None, 1),
    "none": (lambda scores, mask: mg.softmax(scores, -1), 1),
    "j ≤ i + 1": (next_visible, 1),
    "scores × 0": (lambda scores, mask: mg.softmax(scores * mask, -1), 1),
    "weights × 0": (lambda scores, mask: mg.softmax(scores, -1) * mask, 1),
    "j ≤ i, labels not shifted": (None, 0),
    "j < i, labels not shifted": (itself_hidden, 0),
}


class FaultyAttention(nn.Module):
    """Scaled dot-product attention with a causal mask of one's own."""

    def __init__(self, weigh: Weigh) -> None:
        self.weigh = weigh

    def forward(self, query: Tensor, key: Tensor, value: Tensor, visible: Any = None) -> Tensor:
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        return self.weigh(scores, causal_mask(scores.shape[-1])) @ value


class RandomTokens:
    """Batches of random tokens; the label of a position is the token ``shift`` positions later."""

    def __init__(self, batches: int, shift: int, seed: int) -> None:
        self.batches, self.shift, self.seed = batches, shift, seed

    def epoch(self, number: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, number])
        for _ in range(self.batches):
            ids = rng.integers(0, TOKENS, (BATCH, LENGTH + 1))
            yield Batch((ids[:, :-1],), ids[:, self.shift : self.shift + LENGTH])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    trained_demo.add_arguments(parser, phrases=200)
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: a table of causal masks, and one of padding masks."""
    demo = trained_demo.load(args.model, args.phrases)
    console.out.print(f"causal mask                    loss  influence   (nothing known: loss {math.log(TOKENS):.3f})")
    for name, (weigh, shift) in VARIANTS.items():
        model = train(weigh, shift, args.steps, args.seed)
        loss = held_out_loss(model, RandomTokens(HELD_OUT, shift, args.seed + 1).epoch(0))
        console.out.print(f"{name:28} {loss:6.3f}  {influence(model, args.seed):9.2g}")
    console.out.print("\npadding    masked  masked, on the left  not masked")
    for count in PADDING:
        right = [exact(demo, count, left, masked) for left, masked in ((False, True), (True, True), (False, False))]
        console.out.print(f"{count:7} {right[0]:8.1%} {right[1]:20.1%} {right[2]:11.1%}")


def train(weigh: Weigh | None, shift: int, steps: int, seed: int) -> CausalLM:
    """Train a language model with a causal mask."""
    mg.manual_seed(seed)
    sizes = {"d_model": 64, "d_ff": 256, "decoder_layers": 2, "max_length": LENGTH}
    model = CausalLM(TransformerConfig.preset("nano", vocab_size=TOKENS, **sizes))
    if weigh is not None:
        for module in model.modules():
            if isinstance(module, MultiHeadAttention):
                module.attend = FaultyAttention(weigh)  # type: ignore[assignment]
    settings = TrainingConfig(steps=steps, lr=3e-3, schedule="cosine", warmup=20, label_smoothing=0.0, seed=seed)
    console.watch(Trainer(model, RandomTokens(steps, shift, seed), settings), steps, lambda step: None)
    return model


def influence(model: CausalLM, seed: int) -> float:
    """Largest change of the logits of all positions before the last, when the last token is exchanged."""
    ids = np.random.default_rng(seed).integers(0, TOKENS, (BATCH, LENGTH))
    other = ids.copy()
    other[:, -1] = (ids[:, -1] + 1) % TOKENS
    with model.evaluating(), mg.no_grad():
        change = (model(ids) - model(other)).numpy()
    return float(np.abs(change[:, :-1]).max())


def exact(demo: Demo, padding: int, left: bool, masked: bool) -> float:
    """Share of exact translations when each source has at least so many tokens of padding."""
    pad_id = demo.model.config.pad_id or 0
    ids = pad(demo.tokenizer.encode([source for source, _ in demo.phrases]), pad_id)
    sides = [(0, 0), (padding, 0) if left else (0, padding)]
    mask = np.pad(ids != pad_id, sides) if masked else np.ones((len(ids), ids.shape[1] + padding), bool)
    found = generate(demo.model, np.pad(ids, sides, constant_values=pad_id), mask, tokenizer=demo.tokenizer)
    return float(np.mean([text.text == target for text, (_, target) in zip(found, demo.phrases, strict=True)]))
