"""Both sides: what a masked and a causal language model know of a token, in a language whose entropies are known.

The language is a Markov chain: the next symbol depends on the present one only. So the least loss at a token can be
computed from the table of transitions: given the tokens before it, those after it, or both. Models of one size are
trained alike, by the causal objective and by the masked one at several rates, and each is asked for one hidden token
in the middle of new texts. Losses are in nats. Devlin et al., 2019 (BERT), section 3.1.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from transformer.cli import console
from transformer.data.batches import Data, MaskedBatches, WindowBatches
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM, MaskedLM
from transformer.train import Trainer, TrainingConfig

SYMBOLS, MASK, PAD = 8, 8, 9
LENGTH, BATCH, QUESTIONS = 16, 64, 10_000
MIDDLE = LENGTH // 2
RATES = (0.15, 0.4)

Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="training steps (default: %(default)s)")
    parser.add_argument("--texts", type=int, default=40_000, metavar="N", help="training texts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: the entropies, then a row for each model."""
    rng = np.random.default_rng(args.seed)
    transitions = rng.dirichlet(np.full(SYMBOLS, 0.3), SYMBOLS)
    texts, questions = (chain(transitions, count, rng) for count in (args.texts, QUESTIONS))
    console.out.print("                 labels    loss at a token, given those on its")
    console.out.print("                 a step      left     right    both sides")
    console.out.print(row("entropy", None, *entropies(transitions)))
    causal = train(CausalLM, WindowBatches(texts.ravel(), LENGTH, BATCH, args.seed), args)
    console.out.print(row("causal", BATCH * LENGTH, loss(causal, questions[:, :MIDDLE], questions[:, MIDDLE], -1)))
    for rate in RATES:
        data = MaskedBatches(texts.tolist(), BATCH * LENGTH, PAD + 1, MASK, PAD, probability=rate, seed=args.seed)
        model = train(MaskedLM, data, args)
        hidden, answers = questions.copy(), questions[:, MIDDLE]
        hidden[:, MIDDLE] = MASK
        found = (
            loss(model, hidden[:, : MIDDLE + 1], answers, -1),
            loss(model, hidden[:, MIDDLE:], answers, 0),
            loss(model, hidden, answers, MIDDLE),
        )
        console.out.print(row(f"masked, {rate:.0%}", next(data.epoch(0)).targets, *found))


def chain(transitions: Array, count: int, rng: np.random.Generator) -> Array:
    """Texts (count, LENGTH) of a Markov chain in its stationary distribution."""
    cumulative = transitions.cumsum(1)
    state = rng.choice(SYMBOLS, count, p=stationary(transitions))
    texts = [state]
    for draw in rng.random((LENGTH - 1, count)):
        state = np.minimum((cumulative[state] < draw[:, None]).sum(1), SYMBOLS - 1)
        texts.append(state)
    return np.stack(texts, 1)


def stationary(transitions: Array) -> Array:
    """Stationary distribution π = π P."""
    found: Array = np.linalg.matrix_power(transitions, 1000)[0]
    return found / found.sum()


def entropies(transitions: Array) -> tuple[float, float, float]:
    """Conditional entropies of a symbol, given the one before it, the one after it, and both."""
    triples = stationary(transitions)[:, None, None] * transitions[:, :, None] * transitions[None]  # before, it, after

    def given(*others: int) -> float:
        joint = triples.sum(tuple({0, 2} - set(others)), keepdims=True)
        share = np.divide(joint, joint.sum(1, keepdims=True), out=np.ones_like(joint), where=joint > 0)
        return float(-(joint * np.log(share)).sum())

    return given(0), given(2), given(0, 2)


def train(kind: type[CausalLM | MaskedLM], data: Data, args: argparse.Namespace) -> CausalLM | MaskedLM:
    """Train a model of a kind."""
    mg.manual_seed(args.seed)
    sizes: dict[str, Any] = {"d_model": 64, "d_ff": 256, "encoder_layers": 2, "decoder_layers": 2, "max_length": LENGTH}
    special: dict[str, Any] = {"pad_id": PAD, "bos_id": None, "eos_id": None, "mask_id": MASK}
    model = kind(TransformerConfig(vocab_size=PAD + 1, positions="relative", dropout=0.0, **sizes, **special))
    settings = TrainingConfig(
        steps=args.steps, lr=3e-3, schedule="cosine", warmup=20, label_smoothing=0.0, seed=args.seed
    )
    console.watch(Trainer(model, data, settings), args.steps, lambda step: None)
    return model


def loss(model: nn.Module, texts: Array, answers: Array, place: int) -> float:
    """Mean loss of the answers at one place of the texts."""
    with model.evaluating(), mg.no_grad():
        return F.cross_entropy(model(texts)[:, place], answers).item()


def row(name: str, labels: int | None, *losses: float) -> str:
    """Row of the table."""
    return f"{name:15} {'' if labels is None else labels:>7}{''.join(f'{value:10.3f}' for value in losses)}"
