"""Command-line options generated from the fields of settings dataclasses, with help texts."""

from __future__ import annotations

import argparse
import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from transformer.train import OPTIMIZERS, SCHEDULES

ARCHITECTURE = {
    "d_model": "width of the model",
    "num_heads": "attention heads",
    "num_kv_heads": "key-value heads, each shared by several query heads (default: as many)",
    "d_k": "width of a head (default: d-model / num-heads)",
    "d_ff": "width inside the feed-forward network",
    "max_length": "maximum number of tokens of a text, or of the context",
    "positions": "position encoding",
    "norm": "kind of normalisation",
    "norm_first": "normalise before each sublayer instead of after it",
    "activation": "activation of the feed-forward network",
    "bias": "biases in linear layers and norms",
    "window": "sliding window of self-attention, in positions (default: all)",
    "tie": "shared matrices of source, target and output",
    "dropout": "dropout probability",
    "attention_dropout": "dropout probability of attention weights",
    "layer_drop": "probability of skipping a layer in training",
    "scale_scores": "divide attention scores by the root of the head's width",
}
TRAINING = {
    "steps": "updates of the parameters",
    "accumulate": "gradient accumulation: batches of a step",
    "optimizer": f"optimizer: one of {', '.join(OPTIMIZERS)}",
    "betas": "Adam's decay rates",
    "weight_decay": "weight decay of matrices",
    "schedule": f"learning-rate schedule: one of {', '.join(SCHEDULES)}",
    "warmup": "warm-up steps of the learning rate",
    "lr": "peak learning rate (default: the paper's)",
    "lr_factor": "factor of the paper's peak",
    "final_factor": "final learning rate of linear and cosine schedules, as a factor of the peak",
    "label_smoothing": "probability spread over wrong tokens",
    "clip_norm": "limit on the total norm of the gradients",
    "clip_value": "limit on each element of the gradients (default: none)",
    "precision": "precision of products and attention: float32 or bfloat16",
    "seed": "random seed of weights, dropout and the order of batches",
    "evaluate_every": "steps between evaluations on held-out examples (default: never)",
    "patience": "early stopping after so many evaluations without improvement (default: never)",
    "average": "weight averaging over the last evaluations",
    "checkpoint_every": "steps between checkpoints",
    "shard_optimizer": "spread the optimizer's state over the processes of mpiexec",
}
LORA = ("lora", "lora_alpha", "lora_dropout", "lora_targets")  # options of adapters
SEARCH = {
    "num_beams": "beam width; 1 is greedy",
    "length_penalty": "length penalty α of the beam search",
    "length_penalty_form": "log P / length^α, or the paper's ((5 + length) / 6)^α",
    "max_new_tokens": "maximum number of new tokens (default: the model's, or 50 more than the longest source)",
    "repetition_penalty": "penalty of repeated tokens, above 1",
    "no_repeat_ngram_size": "size of n-grams that may not repeat; 0 is off",
}
SAMPLING = {
    "temperature": "sampling temperature; below 1 favours likely tokens",
    "top_k": "sample from the k likeliest tokens",
    "top_p": "nucleus sampling: the likeliest tokens with this total probability",
    "min_p": "minimum probability, relative to the likeliest token's (default: off)",
    "repetition_penalty": "penalty of repeated tokens, above 1",
    "no_repeat_ngram_size": "size of n-grams that may not repeat; 0 is off",
    "stop_strings": "strings that end the text (default: none)",
    "seed": "random seed (default: a new one each time)",
}


def add_options(group: Any, settings: type, texts: Mapping[str, str], defaults: Mapping[str, Any] | None) -> None:
    """Add an option for each field that has a text. Options that are not given are absent from the namespace.

    Args:
        group: of a parser, to add them to.
        settings: a dataclass.
        texts: help text of each field.
        defaults: default values for the help; the dataclass's own elsewhere. None: the model's.
    """
    own = {field.name: field.default for field in dataclasses.fields(settings)}
    hints = get_type_hints(settings)
    for name, text in texts.items():
        value = "the model's" if defaults is None else defaults.get(name, own[name])
        kind = _without_none(hints[name])
        option = f"--{name.replace('_', '-')}"
        if value is not None and value != () and not (defaults is None and "(default" in text):
            text = f"{text.partition(' (default')[0]} (default: {_shown(value)})"
        if kind is bool:
            group.add_argument(option, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        elif get_origin(kind) is Literal:
            choices = get_args(kind)
            text = f"{text}; one of {', '.join(choices)}"
            group.add_argument(option, choices=choices, default=argparse.SUPPRESS, metavar="NAME", help=text)
        elif get_origin(kind) is tuple:
            element = get_args(kind)[0]
            count = "*" if Ellipsis in get_args(kind) else len(get_args(kind))
            group.add_argument(
                option, nargs=count, type=element, default=argparse.SUPPRESS, metavar=_metavar(element), help=text
            )
        else:
            group.add_argument(option, type=kind, default=argparse.SUPPRESS, metavar=_metavar(kind), help=text)


def given(args: argparse.Namespace, texts: Mapping[str, str]) -> dict[str, Any]:
    """Options of ``texts`` given on the command line."""
    values = {name: value for name, value in vars(args).items() if name in texts}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def search(args: argparse.Namespace) -> dict[str, Any]:
    """Search options given on the command line: several beams turn sampling off."""
    choices = given(args, SEARCH)
    return choices | {"do_sample": False} if choices.get("num_beams", 1) > 1 else choices


def _without_none(kind: Any) -> Any:
    if get_origin(kind) is types.UnionType:
        return next(part for part in get_args(kind) if part is not types.NoneType)
    return kind


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _metavar(kind: Any) -> str:
    return {int: "N", float: "X"}.get(kind, "NAME")
