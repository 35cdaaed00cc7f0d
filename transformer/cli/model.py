"""Model option: the model directory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigrad import nn
from transformer.data.tokenizer import Tokenizer
from transformer.tasks import TASK, Task, load_for_task, read_task


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="model directory")


def add_quantize(parser: argparse.ArgumentParser) -> None:
    text = "quantise the weights for faster decoding: int8 (activations too), int8-weights or bfloat16 (weights alone)"
    parser.add_argument("--quantize", choices=nn.quantized.FORMATS, metavar="FORMAT", help=text)


def load_for(directory: Path, task: Task[Any], quantize: str | None = None) -> tuple[Any, Tokenizer]:
    """Load a model and its tokenizer; an error if its directory names another task."""
    model, tokenizer = load(directory, task, quantize)
    purpose = read_task(directory)[0] if (directory / TASK).exists() else model.purpose
    if purpose not in (None, task.name):
        raise ValueError(
            f"{directory}: a model to {purpose} with, not to {task.name}; see transformer {purpose} --help"
        )
    return model, tokenizer


def load(directory: Path, task: Task[Any], quantize: str | None = None) -> tuple[Any, Tokenizer]:
    model, tokenizer = load_for_task(directory, task, quantize)
    if model.adapter is not None:
        model.merge_and_unload()  # one product a layer instead of three
    return model, tokenizer
