"""Training loop: gradients, clipping, a step of the optimizer, a report; periodic checkpoints."""

from __future__ import annotations

import json
import math
import os
import time
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, replace
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.distributed import GradientSums, Group, ShardedOptimizer, world
from minigrad.kernels.compiling.interrupts import uninterrupted
from minigrad.random import Generator, replay
from transformer.data.batches import Batch, Data, fingerprint, shares
from transformer.data.share import Share
from transformer.pretrained.snapshot import CHECKPOINT, Member, exclusive, read_snapshot, settle, write_snapshot
from transformer.train.background import CheckpointWriter, WrittenElsewhere
from transformer.train.checkpoint import (
    FILES,
    KEPT,
    OPTIMIZER,
    RETAINED,
    WEIGHTS,
    Checkpoint,
    Position,
    first_difference,
    generators,
    model_identity,
)
from transformer.train.clipping import Clipping, clip
from transformer.train.config import TrainingConfig, make_optimizer
from transformer.train.log import LOG, Log, Step
from transformer.train.objective import accumulate_gradients, held_out_loss
from transformer.train.signals import Signals
from transformer.train.trace import Trace, check_trace
from transformer.train.weight_selection import weight_selection

PATIENCE = 10.0  # seconds for other ranks to come to the same end
FREE = ("checkpoint_every", "shard_optimizer")  # settings that may change when a training is resumed


class Trainer:
    """Trainer: an iterator that trains a model, one step and one report at a time.

    At the end the model has the weights that the configuration asks for (the last, the best, or a mean) and is in
    evaluation mode. An iterator that is closed, or interrupted, leaves the weights of the last step; iterating again
    continues. The training has its own random numbers, independent of other draws between its steps.

    Args:
        model: any module with ``logits = model(*batch.inputs)``; changed in place.
        data: the training data, epoch after epoch.
        config: the training configuration.
        held_out: batches to evaluate with every ``config.evaluate_every`` steps: its epoch 0.
        directory: for ``log.jsonl`` and ``checkpoint/`` with the newest two checkpoints, created if missing. None
            writes nothing. No second training may write there meanwhile.
        companions: gives the names and contents of other files of the directory that each checkpoint belongs with,
            such as those of the model: all of them change together.
        settings: other choices that the training follows from, to be the same when it is resumed.
        keep_frozen: False leaves parameters without gradients out of checkpoints: the caller has them.
        held: True if the caller holds the directory's lock, by :func:`~transformer.pretrained.snapshot.exclusive`.
        group: of processes that train together, each on its rows of every batch: all that ``mpiexec`` has started. All
            of them see the same directory; rank 0 writes.
        trace: a file for the timeline of the last steps on all ranks, written at the end of an iteration; see
            :class:`~transformer.train.Trace`.

    Raises:
        ValueError: the settings do not fit the model or the data.

    Example:
        >>> import minigrad as mg, numpy as np
        >>> from transformer.data.batches import WindowBatches
        >>> model = mg.nn.Sequential(mg.nn.Embedding(9, 16), mg.nn.Linear(16, 9))
        >>> data = WindowBatches(np.arange(500) % 9, block=8, batch=4)
        >>> config = TrainingConfig(steps=60, lr=0.05, warmup=10, label_smoothing=0.0)
        >>> losses = [step.loss for step in Trainer(model, data, config)]
        >>> losses[0] > 1.5 > 0.5 > losses[-1]
        True
    """

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        config: TrainingConfig,
        *,
        held_out: Data | None = None,
        directory: str | os.PathLike[str] | None = None,
        companions: Callable[[], Iterable[tuple[str, bytes | None]]] = tuple,
        settings: Mapping[str, Any] | None = None,
        held: bool = False,
        keep_frozen: bool = True,
        group: Group | None = None,
        trace: str | os.PathLike[str] | None = None,
    ) -> None:
        if config.patience is not None and held_out is None:
            raise ValueError("held_out: expected data, as patience needs its loss")
        if held_out is not None and config.evaluate_every is None:
            raise ValueError("evaluate_every: expected a number of steps, as there is held-out data")
        self.model, self.data, self.config, self.held_out = model, data, config, held_out
        self.directory = None if directory is None else Path(directory)
        self._companions, self._settings, self._held = companions, dict(settings or {}), held
        self.group = world() if group is None else group
        self._share = Share(self.group.rank, self.group.size)
        self._trace_path = None if trace is None else Path(trace)
        if self._trace_path is not None:
            self.group.on_first(partial(check_trace, self._trace_path))
        self._trace = None if trace is None else Trace(self.group)
        self._log: Log | None = None  # while it iterates, on rank 0
        self._writer: CheckpointWriter | WrittenElsewhere | None = None  # while it iterates
        self._logged = Member(0, "")  # of the log, when it is opened next
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        if not trained:
            raise ValueError("model: expected weights to train, got none: they are frozen, or quantised for inference")
        self.parameter_names, self.parameters = list(trained), list(trained.values())
        self.optimizer, self.scheduler = make_optimizer(self.parameters, config.learning_rate(model), config)
        self._sums = GradientSums(self.parameters, self.group)
        if config.shard_optimizer:
            self.optimizer = ShardedOptimizer(self.optimizer, self.group)
        self._selection = weight_selection(config)
        frozen = frozenset(name for name, value in model.named_parameters() if not value.requires_grad)
        self._omitted = frozenset() if keep_frozen else frozen
        self._generators = generators(model)
        self._random = {**_states(self._generators), "default": Generator(config.seed).state}  # after the last step
        self._position = Position()
        self._saved = 0  # steps in the checkpoint, when it begins to iterate
        self._log_to_restore: bytes | None = None  # after resuming from an earlier checkpoint than the newest one
        self._whole = True  # True if weights, moments, position and log are of the same step

    @property
    def steps_made(self) -> int:
        """Number of steps made, in all runs together."""
        return self._position.step

    @property
    def finished(self) -> bool:
        """True if all steps are made, or early stopping has ended the training."""
        return self.steps_made >= self.config.steps or self._selection.exhausted

    def resume(self) -> int:
        """Resume from the checkpoint in the directory, if there is one, exactly as if never interrupted.

        If the newest checkpoint is damaged, a warning says so and the one before is used.

        Returns:
            The steps made so far: 0 if there is no checkpoint.

        Raises:
            ValueError: there is no directory, the checkpoints are damaged, or of another model, data or config; the
                message names the first difference.
        """
        if self.directory is None:
            raise ValueError("directory: expected one to resume from, got None")
        checkpoint = Checkpoint.load(self.directory)
        self._check_same(0 if checkpoint is None else checkpoint.position.step)
        if checkpoint is None:
            return 0
        path = self.directory / CHECKPOINT

        def check_identity() -> None:  # which rank 0 knows: the others have not read all of the data
            known = {
                "settings": self._identity["settings"],
                **checkpoint.identity,
            }  # earlier versions did not note them
            if difference := first_difference(known, self._identity):
                raise ValueError(f"{path}: of another training: {difference}")

        self.group.on_first(check_identity)
        self._whole = False
        try:
            self._load(checkpoint.arrays[WEIGHTS])
            self.optimizer.load_state_dict({**checkpoint.rates["optimizer"], **checkpoint.arrays[OPTIMIZER]})
            self.scheduler.load_state_dict(checkpoint.rates["schedule"])
            self._selection.load_state_dict(checkpoint.arrays[KEPT])
            self._random = {name: _checked(checkpoint.random[name]) for name in self._generators}
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a whole checkpoint ({type(error).__name__}: {error})") from None
        self._position = checkpoint.position
        self._log_to_restore = checkpoint.log
        if checkpoint.log is not None:
            self._logged = Member.of(checkpoint.log)
        else:
            logged = read_snapshot(self.directory, ()).members.get(LOG)
            size = self._position.log_length
            self._logged = logged if logged is not None and logged.size == size else Member(size, "")
        self._saved, self._whole = self.steps_made, True
        return self.steps_made

    def _check_same(self, step: int) -> None:
        """Check that all ranks have found the same checkpoint."""
        first = np.array(step)
        self.group.broadcast(first)
        if first != step:
            raise ValueError(
                f"directory: rank {self.group.rank} finds the checkpoint of step {step} in {self.directory}, and "
                f"rank 0 that of step {first}; expected one directory that all machines share"
            )

    def __iter__(self) -> abc.Generator[Step, None, None]:
        if not self._whole:
            raise RuntimeError("the training was interrupted during an update of the weights; resume it, or restart")
        with ExitStack() as stack:
            restored = None if self._log_to_restore is None else self._checkpoint()
            self.group.on_first(partial(self._begin, stack, restored))
            if self.directory is not None and self._writer is None:
                self._writer = WrittenElsewhere(self._saved)
            stack.callback(self._end)
            stack.push(self._write_trace)
            stack.callback(self.model.eval)
            signals = stack.enter_context(Signals(self.group))
            stack.push(self._save_at_end)  # which a second signal does not interrupt
            if not self.steps_made:
                for _, tensor in sorted(self.model.state_dict().items()):
                    self.group.broadcast(tensor)
            batches = self._batches()
            while not self.finished:
                if signals.heed() or self._evaluates_after(self.steps_made + 1):
                    self._save_in_background()  # an interrupt during the evaluation then costs one step
                with nullcontext() if self._trace is None else self._trace.step(self.steps_made + 1):
                    step = self._step(batches)
                if self.steps_made % self.config.checkpoint_every == 0:
                    self._save_in_background()
                yield step
            self.save()
            if (weights := self._selection.result()) is not None:
                self._load(weights)

    def _begin(self, stack: ExitStack, restored: Checkpoint | None) -> None:
        """Begin the log: a new one with a header, or that of the steps made so far."""
        if self.directory is None:
            return
        if not self._held:
            stack.enter_context(exclusive(self.directory))
        if not self.steps_made:  # the checkpoint of an earlier training does not belong to the new log
            versions = {"minigrad": mg.__version__, "numpy": np.__version__}
            header = {"config": asdict(self.config), "parameters": self.parameter_names, "versions": versions}
            content = json.dumps(header).encode() + b"\n"
            write_snapshot(self.directory, [(LOG, content), *((name, None) for name in (*FILES, *RETAINED))])
            self._logged = Member.of(content)
        elif restored is not None:  # the damaged checkpoint is replaced by the one before
            contents = chain(restored.files(), self._companions())
            write_snapshot(self.directory, chain([(LOG, self._log_to_restore)], contents))
        else:  # a killed writer may have left the log's replacement
            settle(self.directory)
        self._log = stack.enter_context(Log(self.directory / LOG, self._logged))
        self._writer = stack.enter_context(CheckpointWriter(self.directory, self._log, self._saved))

    def _end(self) -> None:
        """End the log and the checkpoints, to be continued by the next iteration."""
        self._logged = self._logged if self._log is None else self._log.written
        self._saved = self._saved if self._writer is None else self._writer.saved
        self._log = self._writer = self._log_to_restore = None

    def _batches(self) -> Iterator[tuple[Batch, int, int]]:
        """Batches from the current position on, each with its epoch and the number of batches used of it."""
        epoch, used = self._position.epoch, self._position.batches
        while True:
            count = 0
            for count, batch in enumerate(islice(shares(self.data, epoch, self._share), used, None), used + 1):
                yield batch, epoch, count
            if not count and not used:
                raise ValueError(f"data: expected batches, got none in epoch {epoch}")
            epoch, used = epoch + 1, 0

    def _step(self, source: Iterator[tuple[Batch, int, int]]) -> Step:
        start = time.perf_counter()
        self.model.train()
        self.optimizer.zero_grad()
        with self._span("data"):
            taken = list(islice(source, self.config.accumulate))
            batches = [batch for batch, _, _ in taken]
            tokens, *targets = self._counts(batches)
        random = {generator: self._random[name] for name, generator in self._generators.items()}
        with self._span("forward and backward"), replay(random), mg.autocast(self.config.precision):
            smoothing = self.config.label_smoothing
            mean = accumulate_gradients(self.model, batches, smoothing, targets=targets, summing=self._sums)
            drawn = _states(self._generators)
        if self._trace is not None and self._sums.times is not None:
            self._trace.add_sums(self._sums.times)
        with self._span("sum of losses"):
            loss = np.array(mean)
            self.group.all_reduce(loss)
        with self._span("clipping"):
            clipping = clip(self.parameters, self.config.clip_norm, self.config.clip_value)
        self._check_finite(float(loss), clipping)
        lr = self.optimizer.lr
        # An evaluation may take long: Ctrl-C does not wait for it.
        with nullcontext() if self._evaluates_after(self.steps_made + 1) else uninterrupted():
            self._whole = False
            with self._span("update"):
                self.optimizer.step(gradient_scale=clipping.factor)
            self.scheduler.step()
            _, epoch, used = taken[-1]
            self._position = replace(self._position, step=self.steps_made + 1, epoch=epoch, batches=used)
            self._random = drawn
            seconds = time.perf_counter() - start
            step = Step(
                number=self.steps_made,
                loss=float(loss),
                tokens=tokens,
                seconds=seconds,
                lr=lr,
                gradient_norm=clipping.norm,
                epoch=epoch,
                held_out_loss=self._evaluate(),
                clip_factor=clipping.factor,
                gradient_norms=clipping.norms,
                clipped_shares=clipping.shares,
            )
            if self._log is not None:
                self._log.write(step.to_json())
            self._whole = True
        return step

    def _counts(self, batches: Sequence[Batch]) -> list[int]:
        """Tokens of the whole batches together, and the target tokens of each."""
        own = [batch for batch in batches if not self._share.idle(batch.examples or len(batch.labels))]
        counts = np.array([sum(batch.tokens for batch in own), *(batch.targets for batch in batches)])
        self.group.all_reduce(counts)
        return counts.tolist()

    def _evaluates_after(self, step: int) -> bool:
        every = self.config.evaluate_every
        return every is not None and (step % every == 0 or step == self.config.steps)

    def _evaluate(self) -> float | None:
        """Evaluate after this step if due: the held-out loss, and the weight selection."""
        if not self._evaluates_after(self.steps_made):
            return None
        loss = None
        with self._span("evaluation"):
            if self.held_out is not None:
                with mg.autocast(self.config.precision):
                    loss = held_out_loss(self.model, shares(self.held_out, 0, self._share), self.group)
            self._selection.update(self.steps_made, loss, self._state())
        return loss

    def _check_finite(self, loss: float, clipping: Clipping) -> None:
        """Stop a diverged training before its weights become non-finite."""
        if not math.isfinite(loss) or not math.isfinite(clipping.norm):
            raise ValueError(
                f"lr: the training diverged at step {self.steps_made + 1} (loss {loss:.3g}, gradient norm "
                f"{clipping.norm:.3g}); expected a lower learning rate than {self.optimizer.lr:.3g} or a longer warm-up"
            )

    def save(self) -> None:
        """Save a checkpoint after a step, unless it exists, or an interrupt left an update incomplete.

        Waits until it is on disk. Without effect where the training is not being iterated over.

        Raises:
            OSError: it cannot be written, or an earlier one, in the background, could not.
        """
        if self._writer is None:
            return
        try:
            self._writer.wait()
        finally:  # also where an earlier one could not be written
            self._save_in_background()
            self._writer.wait()

    def _save_at_end(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Save on any end of the training, unless other ranks, whose state it takes, do not come to the same end."""
        if error is None or not isinstance(self.optimizer, ShardedOptimizer) or self.group.all_arrive(PATIENCE):
            self.save()

    def _span(self, name: str) -> AbstractContextManager[None]:
        """Span of the trace, if there is one."""
        return nullcontext() if self._trace is None else self._trace.span(name)

    def _write_trace(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Write the trace on any end of the training to which all ranks come."""
        if self._trace is None or self._trace_path is None:
            return
        if error is None or self.group.all_arrive(PATIENCE):
            self._trace.write(self._trace_path)

    def _save_in_background(self) -> None:
        """Save a checkpoint from a copy, which is written while the training goes on."""
        if self._writer is not None and self._whole and self._writer.saved != self.steps_made:
            with self._span("checkpoint copy"):
                self._writer.submit(self._checkpoint(), self._companions)

    def _state(self) -> dict[str, mg.Tensor]:
        """State of the model, without what is omitted from checkpoints."""
        return {name: value for name, value in self.model.state_dict().items() if name not in self._omitted}

    def _load(self, state: Mapping[str, Any]) -> None:
        """Load what :meth:`_state` has, and leave the rest."""
        own = self.model.state_dict()
        self.model.load_state_dict({**{name: own[name] for name in self._omitted}, **state})

    def _checkpoint(self) -> Checkpoint:
        """Checkpoint of the present state; shares memory with it."""
        moments = self.optimizer.state_dict()
        options = {name: moments.pop(name) for name in list(moments) if not isinstance(moments[name], np.ndarray)}
        rates = {"optimizer": options, "schedule": self.scheduler.state_dict()}
        arrays = {WEIGHTS: self._state(), OPTIMIZER: moments, KEPT: self._selection.state_dict()}
        identity = self._identity if self.group.rank == 0 else {}
        return Checkpoint(identity, self._position, self._random, rates, arrays)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """Identity of this training, which its checkpoint must match."""
        identity = {
            "model": model_identity(self.model),
            "data": fingerprint(self.data),
            "held_out": None if self.held_out is None else fingerprint(self.held_out),
            "config": {name: value for name, value in asdict(self.config).items() if name not in FREE},
            "settings": self._settings,
        }
        return json.loads(json.dumps(identity))  # as read from JSON: tuples become lists


def _checked(state: Any) -> dict[str, Any]:
    """Check the state of a generator, and set it."""
    Generator(0).state = state
    return dict(state)


def _states(generators: Mapping[str, Generator]) -> dict[str, Any]:
    return {name: generator.state for name, generator in generators.items()}
