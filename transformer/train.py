"""Training an encoder-decoder. "Attention Is All You Need", section 5."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.nn import functional as F
from minigrad.optim import Adam, clip_grad_norm_, lr_scheduler
from transformer.data.batches import Batch, EncodedPair, batches
from transformer.models import Transformer

SCHEDULES: dict[str, Callable[[int, int], lr_scheduler.Schedule]] = {  # of warm-up and all steps, with peak 1
    "noam": lambda warmup, steps: lr_scheduler.inverse_sqrt(warmup),
    "linear": lr_scheduler.linear,
    "cosine": lr_scheduler.cosine,
}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Raises:
        ValueError: a value is out of range; the message says which.
    """

    steps: int  # updates of the parameters
    batch_tokens: int = 2048  # padded positions of a batch, on the longer of its two sides
    warmup: int = 400  # steps until the learning rate's peak; in a shorter training it is still rising at the end
    schedule: str = "noam"  # the paper's; or "linear" or "cosine", which end at 0 and get more from few steps
    lr_factor: float = 1.0  # on the peak of the paper's schedule
    label_smoothing: float = 0.1
    clip_norm: float = 1.0  # limit on the norm of all gradients together
    seed: int = 0  # of the order of the batches and of dropout

    def __post_init__(self) -> None:
        for name in ("steps", "batch_tokens", "warmup"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        for name in ("lr_factor", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing: expected a number in [0, 1), got {self.label_smoothing}")
        if self.seed < 0:
            raise ValueError(f"seed: expected an integer ≥ 0, got {self.seed}")


@dataclass(frozen=True)
class Step:
    """What one step of training reports."""

    number: int  # counted from 1
    loss: float  # mean over the target tokens, label smoothing included
    tokens: int  # source and target tokens, padding not counted
    seconds: float
    lr: float
    gradient_norm: float  # before clipping


def batch_loss(model: Transformer, batch: Batch, label_smoothing: float) -> Tensor:
    """The mean cross-entropy of a batch's target tokens. Section 5.4 for the label smoothing."""
    logits = model(batch.source, batch.target_in)
    return F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        batch.target_out.reshape(-1),
        ignore_index=int(model.config.pad_id or 0),
        label_smoothing=label_smoothing,
    )


class Trainer:
    """Trains a model on encoded sentence pairs, one step each time its iterator is advanced.

    At the end, or when the iterator is closed, the model is in evaluation mode.

    Args:
        model: changed in place.
        pairs: source and target ids of each pair, each ended by ``eos_id``.
        config: how to train.

    Example:
        >>> from transformer import Transformer, TransformerConfig
        >>> model = Transformer(TransformerConfig(vocab_size=20, d_model=16))
        >>> trainer = Trainer(model, [([5, 6, 2], [7, 8, 2])], TrainingConfig(steps=3))
        >>> [step.number for step in trainer]
        [1, 2, 3]
    """

    def __init__(self, model: Transformer, pairs: Sequence[EncodedPair], config: TrainingConfig) -> None:
        if not pairs:
            raise ValueError("pairs: expected at least one sentence pair, got none")
        longest = max(max(len(source), len(target)) for source, target in pairs)
        if longest > model.config.max_length:
            raise ValueError(
                f"pairs: the longest sentence has {longest} tokens, more than the model's {model.config.max_length}"
            )
        self.model = model
        self.pairs = pairs
        self.config = config
        # Section 5.3: the paper's betas, epsilon and peak.
        peak = config.lr_factor * lr_scheduler.noam(model.config.d_model, config.warmup)(config.warmup)
        self.optimizer = Adam(model.parameters(), lr=peak, betas=(0.9, 0.98), eps=1e-9)
        schedule = SCHEDULES[config.schedule](config.warmup, max(config.warmup, config.steps))
        self.scheduler = lr_scheduler.LRScheduler(self.optimizer, schedule)

    def __iter__(self) -> Iterator[Step]:
        mg.manual_seed(self.config.seed)
        self.model.train()
        try:
            for number, batch in enumerate(self._batches(), 1):
                yield self._step(number, batch)
                if number == self.config.steps:
                    return
        finally:
            self.model.eval()

    def _batches(self) -> Iterator[Batch]:
        epoch = 0
        ids = self.model.config
        while True:
            rng = np.random.default_rng([self.config.seed, epoch])
            yield from batches(self.pairs, self.config.batch_tokens, int(ids.pad_id or 0), int(ids.bos_id or 0), rng)
            epoch += 1

    def _step(self, number: int, batch: Batch) -> Step:
        start = time.perf_counter()
        self.optimizer.zero_grad()
        loss = batch_loss(self.model, batch, self.config.label_smoothing)
        loss.backward()
        norm = clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        if not math.isfinite(norm):
            raise ValueError(
                f"lr_factor: the training diverged at step {number} (loss {loss.item():.3g}, gradient norm {norm}); "
                f"expected less than {self.config.lr_factor}"
            )
        lr = self.optimizer.lr
        self.optimizer.step()
        self.scheduler.step()
        pad_id = self.model.config.pad_id
        tokens = int((batch.source != pad_id).sum() + (batch.target_out != pad_id).sum())
        return Step(number, loss.item(), tokens, time.perf_counter() - start, lr, norm)
