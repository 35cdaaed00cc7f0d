"""Settings options: the architecture and the training of a model."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from transformer.cli.options import ARCHITECTURE, TRAINING, add_options, given
from transformer.model.config import PRESETS, TransformerConfig
from transformer.tasks import Defaults, Settings
from transformer.train import TrainingConfig

ANY_VOCABULARY = 2**16  # large enough for the special tokens of every preset
STACKS = ("encoder_layers", "decoder_layers")


def add_settings(parser: argparse.ArgumentParser, defaults: Defaults) -> None:
    group = parser.add_argument_group("model")
    presets = _presets(defaults)
    text = f"architecture preset: one of {', '.join(presets)}"
    group.add_argument("--preset", choices=presets, metavar="NAME", help=text)
    layers = max(defaults.architecture.get(name, 0) for name in STACKS)
    group.add_argument("--layers", type=int, metavar="N", help=f"layers of each stack (default: {layers})")
    characters = "" if defaults.vocab_size else "; 0 is a token for each character"
    group.add_argument(
        "--vocab-size",
        type=int,
        metavar="N",
        help=f"vocabulary size of the byte-pair encoding{characters} (default: {defaults.vocab_size})",
    )
    add_options(group, TransformerConfig, ARCHITECTURE, defaults.architecture)
    group = parser.add_argument_group("training")
    add_options(group, TrainingConfig, TRAINING, dataclasses.asdict(defaults.training))
    group.add_argument(
        "--batch-tokens",
        type=int,
        default=defaults.batch_tokens,
        metavar="N",
        help=f"batch size in padded tokens (default: {defaults.batch_tokens})",
    )


def _presets(defaults: Defaults) -> list[str]:
    """Presets with the stacks of a task's own architecture."""
    needed = [name for name in STACKS if defaults.architecture.get(name, 1)]
    return [preset for preset, fields in PRESETS.items() if [name for name in STACKS if fields.get(name, 1)] == needed]


def settings_of(args: argparse.Namespace, defaults: Defaults, pretrained: Path | None = None) -> Settings:
    if pretrained is not None:
        return _fine_tuning(args, defaults, pretrained)
    architecture = dict(PRESETS[args.preset] if args.preset else defaults.architecture)
    architecture.pop("vocab_size", None)
    if args.layers is not None:
        architecture |= dict.fromkeys([name for name in STACKS if architecture.get(name, 1)], args.layers)
    architecture |= given(args, ARCHITECTURE)
    TransformerConfig.from_fields({**architecture, "vocab_size": ANY_VOCABULARY})  # report errors early
    return Settings(
        architecture=architecture,
        vocab_size=defaults.vocab_size if args.vocab_size is None else args.vocab_size,
        batch_tokens=args.batch_tokens,
        training=dataclasses.replace(defaults.training, **given(args, TRAINING)),
    )


def _fine_tuning(args: argparse.Namespace, defaults: Defaults, pretrained: Path) -> Settings:
    """Settings of the further training of a pretrained model, whose directory decides the architecture."""
    for name in ("preset", "layers"):
        if (value := getattr(args, name)) is not None:
            raise ValueError(f"{name}: the model in {pretrained} decides it; expected none, got {value}")
    return Settings(
        architecture=given(args, ARCHITECTURE),
        vocab_size=args.vocab_size,
        batch_tokens=args.batch_tokens,
        training=dataclasses.replace(defaults.fine_tuning(), **given(args, TRAINING)),
        pretrained=pretrained,
    )
