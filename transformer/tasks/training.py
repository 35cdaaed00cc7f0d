"""Training of a task: from examples to a model directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad.distributed import Group, world
from minigrad.io import read_file
from transformer.data.batches import Data
from transformer.data.tokenizer import Tokenizer
from transformer.model.config import TransformerConfig
from transformer.model.lora import LoraConfig
from transformer.plots.gradient_norms import save_gradient_picture
from transformer.plots.loss_curve import save_loss_curve
from transformer.pretrained import load_tokenizer
from transformer.pretrained.adapters import ADAPTER_CONFIG
from transformer.pretrained.directory import CONFIG, OF_TOKENIZER, TOKENIZER, TOKENIZER_CONFIG
from transformer.pretrained.snapshot import exclusive, read_snapshot, write_snapshot
from transformer.tasks.fine_tuning import Pretrained, load_to_train
from transformer.tasks.reporting import SILENT, Reporter
from transformer.tasks.task import SCORES, TASK, DataChoice, Examples, Task, digest, task_document
from transformer.train import LOG, Step, TensorBoard, Trainer, TrainingConfig, read_log
from transformer.train.checkpoint import FILES, Checkpoint
from transformer.train.trace import check_trace

SPOOL = ".data"  # of the model directory, until the training has ended: texts and tokens of a corpus of files
LOSSES, GRADIENTS = "loss.png", "gradients.png"
BYTES_PER_WEIGHT = 8  # of the weight and its gradient; an optimizer's moments come on top
DRAWN = 10_000  # maximum steps of a picture, which has fewer pixels


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a task's model and training.

    Raises:
        ValueError: the vocabulary has no size, or a setting is given that the pretrained model decides.
    """

    architecture: dict[str, Any]  # fields of a TransformerConfig that do not follow from the tokenizer
    vocab_size: int | None  # None with a pretrained model
    batch_tokens: int
    training: TrainingConfig
    pretrained: Path | None = None  # directory of a model to fine-tune; it decides all but the maximum length
    adapter: LoraConfig | None = None  # of an adapter for that model, which is trained alone

    def __post_init__(self) -> None:
        if self.pretrained is None:
            if self.adapter is not None:
                raise ValueError("lora: adapts a pretrained model; expected the directory of one beside it")
            if self.vocab_size is None:
                raise ValueError("vocab_size: expected a number, got None")
            return
        given = {**self.architecture, "vocab_size": self.vocab_size}
        for name, value in given.items():
            if name != "max_length" and value is not None:
                raise ValueError(f"{name}: the model in {self.pretrained} decides it; expected none, got {value}")


@dataclass(frozen=True)
class Trained:
    """Trained model, its tokenizer, and its examples."""

    model: Any  # of the task's class
    tokenizer: Tokenizer
    examples: Examples[Any]  # without those that were left out


def train(
    task: Task[Any],
    choice: DataChoice,
    settings: Settings,
    directory: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: str | os.PathLike[str] | None = None,
    trace: str | os.PathLike[str] | None = None,
    reporter: Reporter = SILENT,
    companions: Mapping[str, bytes] | None = None,
    group: Group | None = None,
) -> Trained:
    """Train the tokenizer and the model, and save both, also when interrupted.

    Called by all processes that ``mpiexec`` has started, with a directory that all of them see: rank 0 reads and
    tokenizes the corpus, into files of the directory that all ranks read their batches from, and writes the results.

    Args:
        task: the task.
        choice: the source of the examples, recorded in the model directory; the first held-out one is shown during
            training.
        settings: of the model and the training.
        directory: the model directory to write; its parent must exist or be creatable.
        resume: continue from the checkpoint in the directory, or restart if it was killed before its first step.
        overwrite: replace a model in the directory.
        tensorboard: a directory for TensorBoard's event files.
        trace: a .json file for the timeline of the last steps on all ranks.
        reporter: callbacks of the training, such as the console's.
        companions: further files of the model directory, by name.
        group: of the processes; None: all that were started together.

    Raises:
        ValueError: a setting does not fit the examples, there is no training to resume, or a model in the way.
        BlockingIOError: another training is writing to the directory.
    """
    directory = Path(directory)
    if settings.batch_tokens < 1:
        raise ValueError(f"batch_tokens: expected at least 1, got {settings.batch_tokens}")
    group = world() if group is None else group
    pretrained = None
    if settings.pretrained is not None:
        with reporter.doing(f"loading {settings.pretrained}"):
            pretrained = load_to_train(
                settings.pretrained,
                task,
                directory,
                max_length=settings.architecture.get("max_length"),
                batch_tokens=settings.batch_tokens,
                adapter=settings.adapter,
                seed=settings.training.seed,
                choice=choice,
            )
    elif (language := choice.source_language or choice.target_language) is not None:
        raise ValueError(f"language: of a pretrained model's vocabulary; expected none without one, got {language!r}")

    def take(stack: ExitStack) -> None:
        if trace is not None:
            check_trace(Path(trace))
        _take(directory, stack)
        if not (resume or overwrite) and (name := _in_the_way(directory)):
            what = "a model" if name in (CONFIG, ADAPTER_CONFIG) else f"{name} of a training"
            raise ValueError(f"out: {directory} holds {what} already; choose another place, --resume, or --overwrite")

    with ExitStack() as stack:
        group.on_first(partial(take, stack))
        rest = (tensorboard, trace, reporter, companions or {}, group)
        return _train(task, choice, settings, pretrained, directory, resume, *rest)


def _train(
    task: Task[Any],
    choice: DataChoice,
    settings: Settings,
    pretrained: Pretrained | None,
    directory: Path,
    resume: bool,
    tensorboard: str | os.PathLike[str] | None,
    trace: str | os.PathLike[str] | None,
    reporter: Reporter,
    companions: Mapping[str, bytes],
    group: Group,
) -> Trained:
    training = settings.training
    resumed = resume and Checkpoint.exists(directory)
    if resume and not resumed:
        group.on_first(partial(_check_not_begun, directory))
    with reporter.doing(f"reading {' '.join(choice.data)}"):
        corpus = group.first(partial(task.read, choice, directory / SPOOL))
    for note in corpus.notes:
        reporter.say(note)
    if pretrained is None:
        with reporter.doing("training the tokenizer"):
            tokenizer = _tokenizer_of(directory) if resumed else None  # without a checkpoint it is an earlier model's
            tokenizer = tokenizer or _learn_tokens(task, corpus, settings.vocab_size or 0, group)
        config = TransformerConfig.from_fields(
            {
                **settings.architecture,
                **task.fields(corpus),
                **task.special_ids(tokenizer),
                "vocab_size": tokenizer.vocab_size,
            }
        )
        identity: dict[str, Any] = {"vocab_size": settings.vocab_size}  # the tokens are those of the checkpoint
    else:
        pretrained = pretrained.completed(task, corpus, training.seed)
        tokenizer, config = pretrained.tokenizer, pretrained.config
        identity = {"pretrained": pretrained.digest}
    _check_memory(config)

    def tokenized() -> tuple[Examples[Any], Data, Data | None]:
        examples = task.readable(corpus, tokenizer, config, skip_bad=choice.skip_bad)
        rest = (tokenizer, config, settings.batch_tokens, training.seed)
        evaluated = examples.held_out and training.evaluate_every is not None
        held_out = task.held_out_batches(examples.held_out, *rest) if evaluated else None
        return examples, task.batches(examples.train, *rest), held_out

    examples, data, held_out = group.first(tokenized)
    for note in examples.notes[len(corpus.notes) :]:
        reporter.say(note)
    noted_choice = replace(choice, held_out_digests=tuple(map(digest, examples.held_out)))
    mg.manual_seed(training.seed)
    model = task.model(config) if pretrained is None else pretrained.model
    if task.generation is not None and pretrained is None:
        model.generation = task.generation

    def files() -> Iterator[tuple[str, bytes | None]]:
        yield from model.files(tokenizer)
        yield TASK, task_document(task, noted_choice)
        yield from companions.items()
        yield SCORES, None  # those of an earlier model

    trainer = Trainer(
        model,
        data,
        training,
        held_out=held_out,
        directory=directory,
        companions=files,
        settings=identity,
        keep_frozen=model.adapter is None,  # the model's directory has what an adapter leaves as it is
        held=True,
        group=group,
        trace=trace,
    )
    if resumed:
        trainer.resume()
    count, trained = len(examples.train), sum(parameter.size for parameter in trainer.parameters)
    parameters = f"{trained:,} of {model.num_parameters():,}" if model.adapter is not None else f"{trained:,}"
    reporter.say(
        f"{count:,} example{'s' * (count > 1)}, {tokenizer.vocab_size:,} tokens, "
        f"{parameters} parameters, {training.steps:,} steps"
    )
    shown = examples.held_out[:1] if group.rank == 0 else ()
    example = (lambda: task.show(model, tokenizer, shown[0])) if shown else None
    drawn = True
    try:
        with _board(None if group.rank else tensorboard, trainer) as board:

            def record(step: Step) -> None:
                if step.number == 1:  # from now on the directory is this training's
                    trainer.save()
                board(step)

            with closing(iter(trainer)) as steps:
                reporter.watch(steps, training.steps, record, example)
    except OSError:
        drawn = False  # with a full disk pictures fail, too; the first error is reported
        raise
    finally:
        if trainer.steps_made and group.rank == 0:  # save the model whatever ended the training
            write_snapshot(directory, files())
            if drawn:
                _draw(directory)
            if trainer.finished:
                shutil.rmtree(directory / SPOOL, ignore_errors=True)
        if not trainer.finished:
            reporter.say(
                f"stopped after step {trainer.steps_made}; the model so far is in {directory}; the same command with "
                "--resume continues"
                if trainer.steps_made
                else "stopped before the first step; nothing was learned"
            )
    return Trained(model, tokenizer, examples)


def _learn_tokens(task: Task[Any], corpus: Examples[Any], vocab_size: int, group: Group) -> Tokenizer:
    """Tokenizer that rank 0 has trained."""
    trained = group.on_first(partial(task.learn_tokens, corpus, vocab_size))
    content, *_ = group.all_gather(b"" if trained is None else trained.to_json().encode())
    return trained or Tokenizer(content.decode())


def _check_memory(config: TransformerConfig) -> None:
    """Refuse a model whose training exceeds the machine's memory, before it is allocated."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # the system does not report its memory
        return
    needed = config.least_size * BYTES_PER_WEIGHT
    if needed > memory:
        raise ValueError(
            f"d_model, d_ff, layers, max_length: Unable to allocate {needed / 2**30:,.0f} GiB, which a training of at "
            f"least {config.least_size:,} weights takes; this machine has {memory / 2**30:,.0f}"
        )


def _take(directory: Path, stack: ExitStack) -> None:
    """Lock the output directory and check that it is writable, before the training.

    Raises:
        ValueError: it cannot, or leads elsewhere.
        BlockingIOError: another training holds it.
    """
    try:
        stack.enter_context(exclusive(directory))
        tempfile.TemporaryFile(dir=directory).close()
    except BlockingIOError:
        raise
    except OSError as error:
        raise ValueError(f"out: expected a directory to write to, got {directory} ({error.strerror})") from None
    check_no_links(directory, LOG, LOSSES, GRADIENTS)


def check_no_links(directory: Path, *names: str) -> None:
    """Refuse symbolic links: nothing is written outside of the directory.

    Raises:
        ValueError: one is.
    """
    for name in names:
        if (directory / name).is_symlink():
            raise ValueError(
                f"out: {directory / name} is a symbolic link, and nothing is written outside of {directory}; remove "
                "the link, or choose another place"
            )


def _in_the_way(directory: Path) -> str | None:
    """Existing file of a model or a training that would be overwritten, unless it was killed before its first step."""
    members = read_snapshot(directory, ()).members
    begun = {LOG} if LOG in members and FILES[0] not in members else set()
    names = (CONFIG, ADAPTER_CONFIG, LOG, FILES[0])
    return next((name for name in names if name not in begun and os.path.lexists(directory / name)), None)


def _tokenizer_of(directory: Path) -> Tokenizer | None:
    """Tokenizer of a directory's checkpoint.

    Raises:
        ValueError: it is not the one that was saved with the checkpoint.
    """
    saved = read_snapshot(directory, OF_TOKENIZER)
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        if fault := saved.fault(name):
            raise ValueError(f"{saved.path(name)}: {fault}")
    return load_tokenizer(directory) if TOKENIZER in saved.contents else None


def _check_not_begun(directory: Path) -> None:
    """Refuse to restart a training on resumption, unless it was killed before its first step."""
    members = read_snapshot(directory, ()).members
    if LOG in members and FILES[0] not in members:
        return
    try:
        content = read_file(directory / LOG)
    except FileNotFoundError:
        raise ValueError(f"resume: {directory} has no training to continue") from None
    steps = content.count(b"\n") - 1  # after its header
    if steps > 0 or FILES[0] in members:
        raise ValueError(
            f"resume: the checkpoint in {directory} is missing after {steps:,} steps; --overwrite restarts"
        )


def _draw(directory: Path) -> None:
    """Draw all steps so far, also those before a resumption; skipped without matplotlib."""
    if find_spec("matplotlib") is None:
        return
    header, steps = read_log(directory / LOG, most=DRAWN)
    if steps:
        save_loss_curve(steps, directory / LOSSES)
        limit = header["config"]["clip_norm"]
        save_gradient_picture(steps, header["parameters"], directory / GRADIENTS, clip_norm=limit)


@contextmanager
def _board(directory: str | os.PathLike[str] | None, trainer: Trainer) -> Iterator[Callable[[Step], None]]:
    """TensorBoard writer, if a directory is given."""
    if directory is None:
        yield lambda step: None
    else:
        with TensorBoard(directory, trainer.parameter_names, trainer.steps_made) as board:
            yield board
