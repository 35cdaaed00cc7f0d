"""Settings options: the architecture and the training of a model."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from transformer.cli.options import ARCHITECTURE, LORA, TRAINING, add_options, given
from transformer.model.config import TransformerConfig
from transformer.model.lora import ALL_LINEAR, LoraConfig
from transformer.model.presets import PRESETS
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


def add_fine_tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("fine-tuning")
    text = "directory of a pretrained model to fine-tune; it decides the architecture and the tokens"
    group.add_argument("--from", dest="pretrained", type=Path, metavar="DIR", help=text)
    text = "train a low-rank adapter alone, of this rank, and write it in the format of PEFT"
    group.add_argument("--lora", type=int, metavar="RANK", help=text)
    text = "factor of the adapter's update, which is divided by the rank (default: the rank)"
    group.add_argument("--lora-alpha", type=float, metavar="X", help=text)
    text = "dropout probability of the adapter's input (default: 0)"
    group.add_argument("--lora-dropout", type=float, metavar="X", help=text)
    text = "linear layers to adapt, by the ends of their names in the model's files, or all-linear (default: the "
    text += "projections of queries and values)"
    group.add_argument("--lora-targets", nargs="+", metavar="NAME", help=text)


def _presets(defaults: Defaults) -> list[str]:
    """Presets with the stacks of a task's own architecture."""
    needed = [name for name in STACKS if defaults.architecture.get(name, 1)]
    return [preset for preset, fields in PRESETS.items() if [name for name in STACKS if fields.get(name, 1)] == needed]


def settings_of(args: argparse.Namespace, defaults: Defaults, pretrained: Path | None = None) -> Settings:
    if pretrained is not None:
        return _fine_tuning(args, defaults, pretrained)
    if (unused := next((name for name in LORA if getattr(args, name, None) is not None), None)) is not None:
        raise ValueError(f"{unused}: adapts a pretrained model; expected --from beside it")
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
    adapter = _adapter(args)
    for name in ("preset", "layers"):
        if (value := getattr(args, name)) is not None:
            raise ValueError(f"{name}: the model in {pretrained} decides it; expected none, got {value}")
    return Settings(
        architecture=given(args, ARCHITECTURE),
        vocab_size=args.vocab_size,
        batch_tokens=args.batch_tokens,
        training=dataclasses.replace(defaults.fine_tuning(adapter is not None), **given(args, TRAINING)),
        pretrained=pretrained,
        adapter=adapter,
    )


def _adapter(args: argparse.Namespace) -> LoraConfig | None:
    """Adapter to train."""
    values = {name: value for name in LORA if (value := getattr(args, name)) is not None}
    if "lora" not in values:
        if values:
            raise ValueError(f"{next(iter(values))}: changes nothing without --lora; expected none")
        return None
    rank, names = values["lora"], tuple(values.get("lora_targets", ()))
    return LoraConfig(
        r=rank,
        lora_alpha=values.get("lora_alpha", rank),
        lora_dropout=values.get("lora_dropout", 0.0),
        target_modules=ALL_LINEAR if names == (ALL_LINEAR,) else names or None,
    )
