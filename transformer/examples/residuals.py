"""Parts of a layer: language models of six layers, each without one part of a layer, trained alike.

`first / last` is the ratio of the norms of two gradients at the first step: of the feed-forward network's first matrix
in the first layer, and in the last. The loss is that of the held-out text, in nats a character, after the training.
`cosine` is the mean cosine of the vectors of two positions behind the last layer of the fresh model: 1 where all are
alike. "Attention Is All You Need", sections 3.1 and 3.3.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from transformer.cli import console
from transformer.model.config import TransformerConfig
from transformer.model.layers import Residual
from transformer.pretrained import CausalLM
from transformer.tasks import TASKS, DataChoice
from transformer.train import Step, Trainer, TrainingConfig, held_out_loss

LAYERS, LENGTH, BATCH_TOKENS = 6, 32, 512
MATRIX = "decoder.layers.{}.feed_forward.expand.weight"

Connect = Callable[[Residual, Tensor, Callable[[Tensor], Tensor]], Tensor]

VARIANTS: dict[str, tuple[bool, Connect | None, str]] = {  # norm first, another connection, and where
    "norm(x + f(x))": (False, None, ""),
    "x + f(norm(x))": (True, None, ""),
    "x + f(x)": (True, lambda residual, x, f: x + f(x), "residual"),
    "f(norm(x))": (True, lambda residual, x, f: f(residual.norm(x)), "residual"),
    "f(x)": (True, lambda residual, x, f: f(x), "residual"),
    "no feed-forward": (True, lambda residual, x, f: x, "feed_forward_residual"),
    "no attention": (True, lambda residual, x, f: x, "self_attention_residual"),
}


class Connection(nn.Module):
    """Connection of a sublayer other than the paper's."""

    def __init__(self, residual: Residual, connect: Connect) -> None:
        self.residual, self.connect = residual, connect

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        return self.connect(self.residual, x, sublayer)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Run the study: train a model of each kind."""
    task = TASKS["generate"]
    examples = task.read(DataChoice(data=("topics",), held_out=5))
    tokenizer = task.learn_tokens(examples, 0)
    console.out.print("layer             parameters  first / last  cosine    loss")
    for name, (norm_first, connect, where) in VARIANTS.items():
        mg.manual_seed(args.seed)
        model = make_model(tokenizer.vocab_size, norm_first, connect, where)
        data = task.batches(examples.train, tokenizer, model.config, BATCH_TOKENS, args.seed)
        held_out = task.held_out_batches(examples.held_out, tokenizer, model.config, BATCH_TOKENS, args.seed)
        settings = TrainingConfig(
            steps=args.steps,
            lr=1e-3,
            schedule="cosine",
            warmup=args.steps // 10 + 1,
            label_smoothing=0.0,
            seed=args.seed,
        )
        alike = cosine(model, next(held_out.epoch(0)).inputs[0])
        trainer = Trainer(model, data, settings)
        steps: list[Step] = []
        console.watch(trainer, args.steps, steps.append)
        norms = dict(zip(trainer.parameter_names, steps[0].gradient_norms, strict=True))
        first, last = (norms.get(MATRIX.format(layer), 0.0) for layer in (0, LAYERS - 1))
        used = zip(trainer.parameters, steps[0].gradient_norms, strict=True)
        parameters = sum(parameter.size for parameter, norm in used if norm)
        ratio = f"{first / last:12.2g}" if last else f"{'':12}"
        loss = held_out_loss(model, held_out.epoch(0))
        console.out.print(f"{name:16} {parameters:11,}  {ratio}  {alike:6.2f}  {loss:6.3f}")


def make_model(vocab_size: int, norm_first: bool, connect: Connect | None, where: str) -> CausalLM:
    """Make a model whose layers are connected in another way, at the residuals whose name ends with ``where``."""
    sizes: dict[str, Any] = {"d_model": 64, "num_heads": 4, "d_ff": 256, "decoder_layers": LAYERS, "max_length": LENGTH}
    special: dict[str, Any] = {"pad_id": None, "bos_id": None, "eos_id": None}
    model = CausalLM(TransformerConfig(vocab_size=vocab_size, norm_first=norm_first, dropout=0.0, **sizes, **special))
    if connect is not None:
        for layer in model.decoder.layers:
            for name, module in list(layer.children()):
                if isinstance(module, Residual) and name.endswith(where):
                    setattr(layer, name, Connection(module, connect))
    return model


def cosine(model: CausalLM, ids: Any) -> float:
    """Mean cosine of the vectors of two positions of a text, behind the last layer."""
    with model.evaluating(), mg.no_grad():
        vectors = model.decoder(ids).numpy()
    units = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    length = ids.shape[1]
    return float(((units @ units.swapaxes(1, 2)).sum((1, 2)) - length).mean() / (length * (length - 1)))
