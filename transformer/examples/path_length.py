"""Path length: gradients over a distance in recurrent layers, in one with attention, and in a Transformer.

The first table is of fresh models: the norm of the gradient that the last state sends to the input that many positions
before, as a share of what it sends to the last one. The second is of models trained on the copy memory: the share of
ten symbols that they repeat after a number of blanks, where guessing gives 12.5 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from transformer.cli import console
from transformer.examples.copy_memory import VOCABULARY, CopyMemory, recall
from transformer.examples.recurrent import RecurrentAttentionLM, RecurrentConfig, RecurrentLM
from transformer.examples.studies import LEARNING_RATES, TRANSFORMER
from transformer.model.attention import Visibility
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM
from transformer.train import Step, Trainer, TrainingConfig

WIDTH = 64
DISTANCES = (0, 1, 3, 10, 30, 100, 300)
BLANKS = (25, 100)
ROWS, BATCH, HELD_OUT = 8, 16, 8

Array = np.ndarray[Any, Any]


def recurrent(kind: Any, model: type[RecurrentLM] = RecurrentLM) -> RecurrentLM:
    """Recurrent language model of one layer."""
    return model(
        RecurrentConfig(kind=kind, vocab_size=VOCABULARY, d_model=WIDTH, hidden_size=WIDTH, layers=1, dropout=0)
    )


def transformer() -> CausalLM:
    """Transformer of two layers, with rotary positions."""
    config = {"d_model": WIDTH, "d_ff": 2 * WIDTH, "decoder_layers": 2, "positions": "rotary", "norm_first": True}
    return CausalLM(TransformerConfig.from_fields({**config, "vocab_size": VOCABULARY, "dropout": 0.0, "pad_id": None}))


MODELS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: recurrent("RNN"),
    "LSTM": lambda: recurrent("LSTM"),
    "GRU": lambda: recurrent("GRU"),
    "RNN + attention": lambda: recurrent("RNN", RecurrentAttentionLM),
    "LSTM + attention": lambda: recurrent("LSTM", RecurrentAttentionLM),
    TRANSFORMER: transformer,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=500, metavar="N", help="steps of each model (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: gradients of fresh models, then recall of trained ones."""
    titles = "".join(f"{distance:9}" for distance in DISTANCES)
    console.out.print(f"gradient at a distance of\n{'':16}{titles}")
    for name, build in MODELS.items():
        mg.manual_seed(args.seed)
        norms = gradients(build(), DISTANCES[-1] + 1)
        console.out.print(f"{name:16}" + "".join(f"{norms[-1 - distance] / norms[-1]:9.0e}" for distance in DISTANCES))
    console.out.print(f"\nsymbols recalled after so many blanks\n{'':16}" + "".join(f"{blanks:9}" for blanks in BLANKS))
    for name, build in MODELS.items():
        shares = [recall_after(name, build, blanks, args.steps, args.seed) for blanks in BLANKS]
        console.out.print(f"{name:16}" + "".join(f"{share:9.1%}" for share in shares))


def gradients(model: RecurrentLM | CausalLM, length: int) -> Array:
    """Mean norm of the gradient of the last state, in a random direction, with respect to each input (length,)."""
    x = mg.random.normal((ROWS, length, WIDTH))
    x.requires_grad = True
    last = states(model, x)[:, -1]
    (last * mg.random.normal(last.shape)).sum().backward()
    norms: Array = np.linalg.norm(x.grad.numpy(), axis=-1).mean(0)  # type: ignore[union-attr]
    return norms


def states(model: RecurrentLM | CausalLM, x: Tensor) -> Tensor:
    """Hidden states (B, T, D) of vectors (B, T, D)."""
    if isinstance(model, RecurrentLM):
        return model.states(x)
    return model.decoder.run(x, model.decoder.views(mg.arange(x.shape[1]), lambda window: Visibility(causal=True)))


def recall_after(name: str, build: Callable[[], Any], blanks: int, steps: int, seed: int) -> float:
    """Recall of a model that is trained on the copy memory."""
    mg.manual_seed(seed)
    model = build()
    settings = TrainingConfig(
        steps=steps,
        lr=LEARNING_RATES[name.split()[0]],
        schedule="cosine",
        warmup=math.ceil(steps / 10),
        label_smoothing=0.0,
        seed=seed,
    )
    console.watch(Trainer(model, CopyMemory(blanks, BATCH, steps, seed), settings), steps, _ignore)
    return recall(model, CopyMemory(blanks, BATCH, HELD_OUT, seed + 1))


def _ignore(step: Step) -> None:
    """Callback that ignores a step."""
