"""Task: a kind of model, the data that it learns from, and its evaluation."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from transformer.data.batches import Data
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig
from transformer.json_object import json_object
from transformer.model.config import TransformerConfig
from transformer.pretrained import PretrainedModel
from transformer.pretrained.snapshot import read_snapshot
from transformer.tasks.reporting import Progress, Sample, silent
from transformer.tasks.seal import SEAL, is_sealed, sealed
from transformer.train import TrainingConfig

Example = TypeVar("Example")

SHOWN = 3  # examples that are too long
TASK = "task.json"  # in a model directory: the task and the data of its training


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """Choice of the examples to learn from, and of those to keep for the test."""

    data: tuple[str, ...]  # files, or the name of a corpus
    held_out: int
    reverse: bool = False  # swap the two sides of pairs
    split_seed: int = 0
    skip_bad: bool = False  # leave bad lines out, instead of refusing the whole
    held_out_digests: tuple[str, ...] | None = None  # of what a training held out; None: it did not note that

    def __post_init__(self) -> None:
        if isinstance(self.data, str):
            raise TypeError(f"data: expected a tuple of names, got the name {self.data!r}; (name,) is a tuple of one")


@dataclass(frozen=True)
class Examples(Generic[Example]):
    """A corpus, divided."""

    train: Sequence[Example]
    held_out: Sequence[Example]
    notes: tuple[str, ...] = ()  # what was left out, and why


def digest(example: str | tuple[str, ...]) -> str:
    """The SHA-256 of an example, cut to 64 bits: by it an example is found again wherever it stands."""
    parts = (example,) if isinstance(example, str) else example
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Default settings of a task's data, model and training."""

    data: tuple[str, ...]  # none where the task needs to be given some
    held_out: int
    vocab_size: int
    batch_tokens: int
    architecture: dict[str, Any]  # fields of a TransformerConfig
    training: TrainingConfig


@dataclass(frozen=True)
class Report:
    """Evaluation of a model: named figures, and a line to print."""

    figures: dict[str, float]
    line: str
    texts: list[str] = field(default_factory=list)  # what the model wrote for each held-out example, if it writes


class Task(ABC, Generic[Example]):
    """One thing that a Transformer learns to do."""

    name: ClassVar[str]  # of the command, too
    aim: ClassVar[str]  # for the help
    model: ClassVar[type[PretrainedModel]]
    generation: ClassVar[GenerationConfig | None] = None  # how a trained model writes, if not in the usual way
    held_out_unit: ClassVar[str]  # what ``held_out`` counts
    options: ClassVar[tuple[str, ...]] = ("split_seed", "skip_bad")  # of a DataChoice, beside its data
    defaults: ClassVar[Defaults]

    @abstractmethod
    def read(self, choice: DataChoice) -> Examples[Example]:
        """The examples that were chosen.

        Raises:
            ValueError: they are damaged, or there are too few.
        """

    @abstractmethod
    def learn_tokens(self, examples: Examples[Example], vocab_size: int) -> Tokenizer:
        """A tokenizer for such examples; ``vocab_size`` 0 is a token for each character, where a task has that."""

    def lengths(self, examples: Sequence[Example], tokenizer: Tokenizer) -> list[int]:
        """Tokens of each example that a model has to read at once: none where a task cuts it into pieces."""
        return [0] * len(examples)

    def readable(
        self, examples: Examples[Example], tokenizer: Tokenizer, config: TransformerConfig, *, skip_bad: bool
    ) -> Examples[Example]:
        """The examples that fit into a model's positions, with a note of those that do not.

        Raises:
            ValueError: some do not, and ``skip_bad`` is false.
        """
        kept: list[list[Example]] = []
        longer: list[str] = []
        for part in (examples.train, examples.held_out):
            measured = list(zip(part, self.lengths(part, tokenizer), strict=True))
            kept.append([example for example, length in measured if length <= config.max_length])
            longer += [f"{str(e)[:60]}… ({length:,})" for e, length in measured if length > config.max_length]
        if not longer:
            return examples
        note = f"{len(longer):,} with more tokens than max_length={config.max_length}: {', '.join(longer[:SHOWN])}"
        if not skip_bad:
            raise ValueError(f"{note}; a greater --max-length reads them, --skip-bad leaves them out")
        train, held_out = kept
        return Examples(train, held_out, (*examples.notes, f"left out: {note}"))

    @abstractmethod
    def batches(
        self, examples: Sequence[Example], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> Data:
        """The examples as batches of about ``tokens`` positions.

        Raises:
            ValueError: an example has more tokens than the model has positions.
        """

    def held_out_batches(
        self, examples: Sequence[Example], tokenizer: Tokenizer, config: TransformerConfig, tokens: int, seed: int
    ) -> Data:
        """Batches to evaluate with; by default as those to learn from."""
        return self.batches(examples, tokenizer, config, tokens, seed)

    @abstractmethod
    def show(self, model: Any, tokenizer: Tokenizer, example: Example) -> Sample:
        """The model's answer to one example."""

    @abstractmethod
    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        choices: dict[str, Any],
        progress: Progress = silent,
    ) -> Report:
        """The scores of a model on examples that it has not seen.

        Args:
            model: of the class ``model``.
            tokenizer: the model's.
            examples: to compare with.
            choices: of :class:`~transformer.decode.GenerationConfig`, where it writes.
            progress: told how many examples or batches are done.
        """

    def special_ids(self, tokenizer: Tokenizer) -> dict[str, int | None]:
        """The special tokens of a configuration."""
        return {name: getattr(tokenizer, name) for name in ("pad_id", "bos_id", "eos_id", "mask_id")}


def task_document(task: Task[Any], choice: DataChoice) -> bytes:
    """The content of ``task.json``."""
    fields = {name: value for name, value in asdict(choice).items() if value is not None}
    return (json.dumps(sealed({"task": task.name, **fields}), indent=2) + "\n").encode()


def read_task(directory: Path) -> tuple[str, DataChoice]:
    """The name of the task that a model was trained for, and on which data.

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
        if unknown := set(values) - {field.name for field in fields(DataChoice)}:
            raise ValueError(f"unknown setting {min(unknown)!r}")
        for setting, value in values.items():
            kind = bool if setting in ("reverse", "skip_bad") else int
            if type(value) is not kind:
                raise ValueError(
                    f"{setting}: expected {'true or false' if kind is bool else 'a number'}, got {value!r}"
                )
        return name, DataChoice(
            data=tuple(data), held_out_digests=None if digests is None else tuple(digests), **values
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def is_trusted(directory: Path) -> bool:
    """True if the files that a directory names are those that a training of this user named, on this machine.

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
        raise FileNotFoundError(f"{directory}: {TASK} is missing, which says what the model was trained for")
    return json_object(contents[TASK].decode("utf-8"))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
