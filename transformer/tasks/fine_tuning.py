"""Fine-tuning: the beginning of a training with a pretrained model, and the end of an adapter."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from transformer.data.tokenizer import Tokenizer
from transformer.model.config import TransformerConfig
from transformer.model.lora import LoraConfig
from transformer.pretrained import check_classifiers, load_both, load_classifier
from transformer.pretrained.adapters import ADAPTER_CONFIG
from transformer.pretrained.directory import CONFIG
from transformer.pretrained.snapshot import read_snapshot, write_snapshot
from transformer.tasks.task import TASK, DataChoice, Examples, Task


class Pretrained(NamedTuple):
    """Pretrained model to train further."""

    model: Any
    tokenizer: Tokenizer
    config: TransformerConfig  # with the maximum length of the texts to train on
    digest: str  # of the weights
    directory: Path

    def completed(self, task: Task[Any], corpus: Examples[Any], seed: int) -> Pretrained:
        """The same as a model of the task's class: where it is another, with a head for the labels of the corpus."""
        if isinstance(self.model, task.model):
            return self
        mg.manual_seed(seed)
        model = load_classifier(self.directory, task.fields(corpus)["labels"])
        return self._replace(model=model, config=replace(model.config, max_length=self.config.max_length))


def load_for_task(
    directory: str | os.PathLike[str],
    task: Task[Any],
    quantization: str | None = None,
    stacks: tuple[type, ...] = (),
) -> tuple[Any, Tokenizer]:
    """Load model and tokenizer of a directory, if the task's models are of this class, or it is one of ``stacks``.

    Raises:
        ValueError: they are not.
    """
    model, tokenizer = load_both(directory, quantization)
    if not isinstance(model, (task.model, *stacks)):
        names = ", ".join(kind.__name__ for kind in (task.model, *stacks))
        expected = f"one of {names}" if stacks else f"a {names}"
        raise ValueError(f"{directory}: expected {expected} to {task.name} with, got a {type(model).__name__}")
    return model, tokenizer


def load_to_train(
    directory: Path,
    task: Task[Any],
    out: Path,
    *,
    max_length: int | None,
    batch_tokens: int,
    adapter: LoraConfig | None,
    seed: int,
    choice: DataChoice,
) -> Pretrained:
    """Load a model to be trained further; its directory is only read.

    Args:
        directory: of the model.
        task: to train it for.
        out: the directory that the trained model is to be written to.
        max_length: of texts; None: as many tokens as the model has positions, or a batch has tokens.
        batch_tokens: of a batch.
        adapter: to be added, and to be trained alone.
        seed: of its weights.
        choice: the data to train on.

    Raises:
        ValueError: it cannot be trained, the task cannot use it, or it is to be written over.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, tokenizer = load_for_task(directory, task, stacks=task.stacks)
    headless = not isinstance(model, task.model)
    for warning in caught:
        if not (headless and "no use for the weights" in str(warning.message)):  # the head may have one
            warnings.warn(warning.message, stacklevel=2)
    if str(out.resolve()) in (str(directory.resolve()), model.name_or_path):  # the latter of an adapter
        raise ValueError(f"out: {out} holds the model to begin with, which is only read; choose another place")
    if model.quantization is not None:
        raise ValueError(f"{directory}: the weights are quantised to {model.quantization}, which cannot be trained")
    limit = model.config.position_limit
    if max_length is not None and limit is not None and max_length > limit:
        raise ValueError(f"max_length: expected at most the {limit:,} positions of the model, got {max_length:,}")
    if headless and model.adapter is not None:
        raise ValueError(
            f"{directory}: an adapter gets no other head; expected a model, as transformer merge writes one"
        )
    try:
        if headless:
            check_classifiers(model.family)
        tokenizer = task.prepare(model, tokenizer, choice)
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from None
    length = min(model.config.max_length, batch_tokens) if max_length is None else max_length
    digest = _digest(model)
    if adapter is not None:
        if headless:
            raise ValueError(f"lora: adapts a {task.model.__name__}, whose head is trained before; expected none")
        mg.manual_seed(seed)
        model.add_adapter(adapter)
    return Pretrained(model, tokenizer, replace(model.config, max_length=length), digest, directory)


def _digest(model: Any) -> str:
    """Digest of a model's weights, by which a resumed training knows its beginning."""
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(value.data).data)
    return found.hexdigest()


def merge_adapter(directory: Path, out: Path) -> None:
    """Merge an adapter into its model, and write that.

    Args:
        directory: of the adapter.
        out: directory of the model to write.

    Raises:
        ValueError: there is no adapter, or something in the way.
    """
    if any((out / name).exists() for name in (CONFIG, ADAPTER_CONFIG)):
        raise ValueError(f"out: {out} holds a model already; choose another place")
    model, tokenizer = load_both(directory)
    if model.adapter is None:
        raise ValueError(f"{directory}: a model without an adapter; expected {ADAPTER_CONFIG}")
    task = read_snapshot(directory, [TASK]).contents.items()
    write_snapshot(out, chain(model.merge_and_unload().files(tokenizer), task))
