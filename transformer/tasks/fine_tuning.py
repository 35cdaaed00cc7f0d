"""Fine-tuning: the beginning of a training with a pretrained model."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from transformer.data.tokenizer import Tokenizer
from transformer.model.config import TransformerConfig
from transformer.pretrained import load_both
from transformer.tasks.task import Task


class Pretrained(NamedTuple):
    """Pretrained model to train further."""

    model: Any  # of the task's class
    tokenizer: Tokenizer
    config: TransformerConfig  # with the maximum length of the texts to train on
    digest: str  # of the weights


def load_for_task(directory: str | os.PathLike[str], task: Task[Any]) -> tuple[Any, Tokenizer]:
    """Load model and tokenizer of a directory, if the task's models are of this class.

    Raises:
        ValueError: they are not.
    """
    model, tokenizer = load_both(directory)
    if not isinstance(model, task.model):
        raise ValueError(
            f"{directory}: expected a {task.model.__name__} to {task.name} with, got a {type(model).__name__}"
        )
    return model, tokenizer


def load_to_train(directory: Path, task: Task[Any], out: Path, max_length: int | None, batch_tokens: int) -> Pretrained:
    """Load a model to be trained further; its directory is only read.

    Args:
        directory: of the model.
        task: to train it for.
        out: the directory that the trained model is to be written to.
        max_length: of texts; None: as many tokens as the model has positions, or a batch has tokens.
        batch_tokens: of a batch.

    Raises:
        ValueError: it cannot be trained, the task cannot use it, or it is to be written over.
    """
    if out.resolve() == directory.resolve():
        raise ValueError(f"out: {out} holds the model to begin with, which is only read; choose another place")
    model, tokenizer = load_for_task(directory, task)
    if model.quantization is not None:
        raise ValueError(f"{directory}: the weights are quantised to {model.quantization}, which cannot be trained")
    limit = model.config.position_limit
    if max_length is not None and limit is not None and max_length > limit:
        raise ValueError(f"max_length: expected at most the {limit:,} positions of the model, got {max_length:,}")
    try:
        task.prepare(model, tokenizer)
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from None
    length = min(model.config.max_length, batch_tokens) if max_length is None else max_length
    return Pretrained(model, tokenizer, replace(model.config, max_length=length), _digest(model))


def _digest(model: Any) -> str:
    """Digest of a model's weights, by which a resumed training knows its beginning."""
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(value.data).data)
    return found.hexdigest()
