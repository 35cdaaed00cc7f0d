"""Command-line options from the fields of settings dataclasses, with a help text for each."""

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
    "num_kv_heads": "heads of keys and values, each shared by several of the queries' (default: as many)",
    "d_k": "width of a head (default: the model's, shared by the heads)",
    "d_ff": "width inside the feed-forward network",
    "max_length": "positions: tokens of the longest text, or of the context",
    "positions": "how tokens know where they stand",
    "norm": "kind of normalisation",
    "norm_first": "normalise before each sublayer instead of after it",
    "activation": "inside the feed-forward network",
    "bias": "of linear layers and norms",
    "window": "positions that self-attention looks back (default: all)",
    "tie": "which of the source's, target's and output's matrices are one",
    "dropout": "probability of dropping an element in training",
    "attention_dropout": "probability of dropping an attention weight",
    "layer_drop": "probability of leaving out a layer in training",
    "scale_scores": "divide attention scores by the root of the head's width",
}
TRAINING = {
    "steps": "updates of the parameters",
    "accumulate": "batches of a step, which count as one larger batch",
    "optimizer": f"one of {', '.join(OPTIMIZERS)}",
    "betas": "decay rates of Adam's means",
    "weight_decay": "of matrices",
    "schedule": f"of the learning rate: one of {', '.join(SCHEDULES)}",
    "warmup": "steps until the learning rate's peak",
    "lr": "peak of the learning rate (default: the paper's)",
    "lr_factor": "multiplies the paper's peak",
    "final_factor": "share of the peak that linear and cosine schedules end at",
    "label_smoothing": "probability spread over wrong tokens",
    "clip_norm": "limit on the gradients' joint norm",
    "clip_value": "limit on each element of the gradients (default: none)",
    "precision": "float32 or bfloat16, of the weights as the model computes with them",
    "seed": "of weights, dropout and the order of batches",
    "evaluate_every": "steps from one evaluation on held-out examples to the next (default: never)",
    "patience": "evaluations without improvement before it stops early (default: never)",
    "average": "evaluations, the last ones, whose weights' mean is the result",
    "checkpoint_every": "steps from one checkpoint to the next",
}
SEARCH = {
    "num_beams": "hypotheses to keep; 1 is greedy",
    "length_penalty": "α that favours longer texts among beams",
    "length_penalty_form": "log P / length^α, or the paper's ((5 + length) / 6)^α",
    "max_new_tokens": "longest text, in tokens (default: the model's, or 50 more than the longest source)",
    "repetition_penalty": "above 1: what was said becomes less likely",
    "no_repeat_ngram_size": "no so many tokens in a row twice; 0 is off",
}
SAMPLING = {
    "temperature": "below 1 bolder in the likely, above 1 more varied",
    "top_k": "only the k likeliest tokens",
    "top_p": "only the likeliest tokens that have this probability together",
    "min_p": "only tokens with this share of the likeliest one's probability (default: off)",
    "repetition_penalty": "above 1: what was said becomes less likely",
    "no_repeat_ngram_size": "no so many tokens in a row twice; 0 is off",
    "stop_strings": "end before the first of these (default: none)",
    "seed": "the same seed writes the same text (default: another one each time)",
}


def add_options(group: Any, settings: type, texts: Mapping[str, str], defaults: Mapping[str, Any] | None) -> None:
    """An option for each field that has a text. What is not given on the command line is not in its namespace.

    Args:
        group: of a parser, to add them to.
        settings: a dataclass.
        texts: field names to what they mean.
        defaults: what holds where nothing is given, for the help; the dataclass's own elsewhere. None: the model's.
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
            group.add_argument(option, choices=get_args(kind), default=argparse.SUPPRESS, help=text)
        elif get_origin(kind) is tuple:
            element = get_args(kind)[0]
            count = "*" if Ellipsis in get_args(kind) else len(get_args(kind))
            group.add_argument(
                option, nargs=count, type=element, default=argparse.SUPPRESS, metavar=_metavar(element), help=text
            )
        else:
            group.add_argument(option, type=kind, default=argparse.SUPPRESS, metavar=_metavar(kind), help=text)


def given(args: argparse.Namespace, texts: Mapping[str, str]) -> dict[str, Any]:
    """The options of ``texts`` that were on the command line."""
    values = {name: value for name, value in vars(args).items() if name in texts}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def search(args: argparse.Namespace) -> dict[str, Any]:
    """The options of a search that were on the command line: one for several beams does not sample."""
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
