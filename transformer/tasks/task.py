"""Task: a kind of model, the data that it learns from, and its evaluation."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from minigrad.distributed import ALONE, Group
from transformer.data.batches import Data, Ids
from transformer.data.records import select
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig
from transformer.json_object import json_object
from transformer.model.config import TransformerConfig
from transformer.pretrained import PretrainedModel
from transformer.pretrained.snapshot import read_snapshot, write_snapshot
from transformer.tasks.reporting import Progress, Sample, silent
from transformer.tasks.seal import SEAL, is_sealed, sealed
from transformer.train import TrainingConfig

Example = TypeVar("Example")

SHOWN = 3  # examples that are too long
FINE_TUNING_RATE = 5e-5  # the largest of those that Devlin et al., 2019, tried (appendix A.3)
ADAPTER_RATE = 2e-4  # Hu et al., 2021, table 11
TASK, SCORES = "task.json", "scores.json"  # in a model directory: task and training data; scores after the training


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Data choice: the training data, and the held-out part."""

    data: tuple[str, ...]  # files, or the name of a corpus
    held_out: int
    reverse: bool = False  # swap the two sides of pairs
    split_seed: int = 0
    skip_bad: bool = False  # skip bad lines, instead of raising an error
    held_out_digests: tuple[str, ...] | None = None  # of a training's held-out examples; None: not recorded
    source_language: str | None = None  # of pairs: a token of a pretrained model that knows several
    target_language: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.data, str):
            raise TypeError(f"data: expected a tuple of names, got the name {self.data!r}; (name,) is a tuple of one")


# Kinds of the settings of a DataChoice that are not names of data or of examples
DATA_SETTINGS: dict[str, type] = {
    **{"held_out": int, "split_seed": int, "reverse": bool, "skip_bad": bool},
    **{"source_language": str, "target_language": str},
}
EXPECTED = {bool: "true or false", int: "a number", str: "a name"}


@dataclass(frozen=True)
class Examples(Generic[Example]):
    """Examples: a corpus split into training and held-out parts."""

    train: Sequence[Example]
    held_out: Sequence[Example]
    notes: tuple[str, ...] = ()  # omitted examples, with the reason


def digest(example: str | tuple[str, ...]) -> str:
    """Digest of an example: its SHA-256, truncated to 64 bits, by which it is found in changed data."""
    parts = (example,) if isinstance(example, str) else example
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Default settings of a task's data, model and training."""

    data: tuple[str, ...]  # empty where the task has no default
    held_out: int
    vocab_size: int
    batch_tokens: int
    architecture: dict[str, Any]  # fields of a TransformerConfig
    training: TrainingConfig

    def fine_tuning(self, adapter: bool = False) -> TrainingConfig:
        """Default training of a pretrained model, or of its adapter alone: with a lower learning rate."""
        return replace(self.training, lr=ADAPTER_RATE if adapter else FINE_TUNING_RATE)


@dataclass(frozen=True)
class Report:
    """Evaluation report: named metrics, and a line to print."""

    figures: dict[str, float]
    line: str
    texts: list[str] = field(default_factory=list)  # generated text for each held-out example, if any


class Task(ABC, Generic[Example]):
    """Task: base class."""

    name: ClassVar[str]  # of the command, too
    aim: ClassVar[str]  # for the help
    model: ClassVar[type[PretrainedModel]]
    stacks: ClassVar[tuple[type[PretrainedModel], ...]] = ()  # other classes that a training may begin with
    generation: ClassVar[GenerationConfig | None] = None  # generation settings of a trained model, if not the defaults
    held_out_unit: ClassVar[str]  # unit of ``held_out``
    options: ClassVar[tuple[str, ...]] = ("split_seed", "skip_bad")  # of a DataChoice, beside its data
    defaults: ClassVar[Defaults]

    @abstractmethod
    def read(self, choice: DataChoice, spool: Path | None = None) -> Examples[Example]:
        """Read the chosen examples.

        Args:
            choice: the data.
            spool: a directory. Training examples of files are then written there and read from there, item by item, as
                are the ids that :meth:`batches` makes of them: neither needs to fit into memory. What is already there
                of the same files is opened; so of several processes one reads and makes batches before the others.

        Raises:
            ValueError: they are damaged, or there are too few.
        """

    @abstractmethod
    def learn_tokens(self, examples: Examples[Example], vocab_size: int) -> Tokenizer:
        """Train a tokenizer on examples; ``vocab_size`` 0 is a token for each character, where a task supports it."""

    def fields(self, examples: Examples[Example]) -> dict[str, Any]:
        """Fields of a :class:`TransformerConfig` that follow from the examples, such as their labels."""
        return {}

    def lengths(self, examples: Sequence[Example], tokenizer: Tokenizer, config: TransformerConfig) -> Ids:
        """Lengths of each example's sequences in tokens (N,); 0 where a task splits it into windows."""
        return np.zeros(len(examples), np.int64)

    def readable(
        self, examples: Examples[Example], tokenizer: Tokenizer, config: TransformerConfig, *, skip_bad: bool
    ) -> Examples[Example]:
        """Filter the examples that fit into a model's positions, with a note of the others.

        Raises:
            ValueError: some do not, and ``skip_bad`` is false.
        """
        kept: list[Sequence[Example]] = []
        count, shown = 0, list[str]()
        for part in (examples.train, examples.held_out):
            lengths = self.lengths(part, tokenizer, config)
            longer = np.flatnonzero(lengths > config.max_length)
            kept.append(select(part, np.flatnonzero(lengths <= config.max_length)) if len(longer) else part)
            count += len(longer)
            shown += [f"{str(part[place])[:60]}… ({lengths[place]:,})" for place in longer[:SHOWN].tolist()]
        if not count:
            return examples
        note = f"{count:,} with more tokens than max_length={config.max_length}: {', '.join(shown[:SHOWN])}"
        if not skip_bad:
            raise ValueError(f"{note}; a greater --max-length reads them, --skip-bad leaves them out")
        train, held_out = kept
        return Examples(train, held_out, (*examples.notes, f"left out: {note}"))

    @abstractmethod
    def batches(
        self, examples: Sequence[Example], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> Data:
        """Batches of the examples, of about ``tokens`` positions.

        Raises:
            ValueError: an example has more tokens than the model has positions.
        """

    def held_out_batches(
        self, examples: Sequence[Example], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> Data:
        """Batches of held-out examples; by default as :meth:`batches`."""
        return self.batches(examples, tokenizer, config, tokens, seed)

    @abstractmethod
    def show(self, model: Any, tokenizer: Tokenizer, example: Example) -> Sample:
        """Sample of the model's answer to one example."""

    @abstractmethod
    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        choices: dict[str, Any],
        progress: Progress = silent,
        group: Group = ALONE,
    ) -> Report:
        """Evaluate a model on held-out examples.

        Args:
            model: of the class ``model``.
            tokenizer: the model's.
            examples: the held-out examples.
            choices: of :class:`~transformer.decode.GenerationConfig`, where it writes.
            progress: called with the number of finished examples or batches.
            group: of processes that share the work out; all of them get the report.
        """

    def prepare(self, model: Any, tokenizer: Tokenizer, choice: DataChoice) -> Tokenizer:
        """Prepare a pretrained model of the class ``model`` for a training or an evaluation; returns its tokenizer.

        Raises:
            ValueError: it lacks a special token that the task or the data need.
        """
        return tokenizer

    def special_ids(self, tokenizer: Tokenizer) -> dict[str, int | None]:
        """Special tokens of a configuration."""
        return {name: getattr(tokenizer, name) for name in ("pad_id", "bos_id", "eos_id", "mask_id")}


def task_document(task: Task[Any], choice: DataChoice) -> bytes:
    """Content of ``task.json``."""
    fields = {name: value for name, value in asdict(choice).items() if value is not None}
    return (json.dumps(sealed({"task": task.name, **fields}), indent=2) + "\n").encode()


def read_task(directory: Path) -> tuple[str, DataChoice]:
    """Read the task of a model and the data of its training.

    Raises:
        FileNotFoundError: the directory does not say.
        ValueError: the file is damaged.
    """
    path = directory / TASK
    try:
        values = _document(directory)
        values.pop(SEAL, None)
        name, data = values.pop("task", None), values.pop("data", None)
        digests = values.pop("held_out_digests", None)
        if not isinstance(name, str) or not _is_names(data):
            raise ValueError("task, data: expected a name and a list of names")
        if digests is not None and not _is_names(digests):
            raise ValueError("held_out_digests: expected a list of names")
        if unknown := set(values) - set(DATA_SETTINGS):
            raise ValueError(f"unknown setting {min(unknown)!r}")
        for setting, value in values.items():
            kind = DATA_SETTINGS[setting]
            if type(value) is not kind:
                raise ValueError(f"{setting}: expected {EXPECTED[kind]}, got {value!r}")
        return name, DataChoice(
            data=tuple(data), held_out_digests=None if digests is None else tuple(digests), **values
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def save_scores(directory: str | os.PathLike[str], report: Report) -> None:
    """Save the scores of a training's held-out examples in its model directory."""
    content = json.dumps({"line": report.line, "figures": report.figures}, indent=2) + "\n"
    write_snapshot(Path(directory), [(SCORES, content.encode())])


def is_trusted(directory: Path) -> bool:
    """True if the files that a directory names were recorded by a training of this user on this machine.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return is_sealed(_document(directory))
    except ValueError as error:
        raise ValueError(f"{directory / TASK}: {error}") from None


def _document(directory: Path) -> dict[str, Any]:
    contents = read_snapshot(directory, [TASK]).contents
    if TASK not in contents:
        raise FileNotFoundError(f"{directory}: {TASK} is missing, which names the model's task")
    return json_object(contents[TASK].decode("utf-8"))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
