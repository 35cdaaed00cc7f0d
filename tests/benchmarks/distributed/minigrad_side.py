"""A replica of the model in minigrad: one of the processes that train together."""

from __future__ import annotations

import time

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.distributed import GradientSums, world
from minigrad.nn import functional as F
from minigrad.optim import AdamW, clip_grad_norm_
from minigrad.random import batch_share
from tests.benchmarks.distributed.workload import Part, Workload
from tests.benchmarks.inputs import SEED
from tests.benchmarks.models import gpt, seq2seq, settings
from tests.benchmarks.models.gpt import GPTSize
from tests.benchmarks.models.minigrad_gpt import GPT
from tests.benchmarks.models.minigrad_seq2seq import model_of
from transformer.data.share import Share
from transformer.train import Trace


class Replica:
    """Model, optimizer and data of this process."""

    def __init__(self, workload: Workload) -> None:
        self.group = world()
        size = workload.size
        if isinstance(size, GPTSize):
            self._model: mg.nn.Module = GPT(size)
            self._model.load_state_dict(gpt.weights(size))
        else:
            self._model = model_of(size, workload.dropout)
            self._model.load_state_dict(seq2seq.weights(size))
        self._parameters = list(self._model.parameters())
        self._optimizer = AdamW(
            self._parameters,
            lr=settings.LR,
            betas=settings.BETAS,
            weight_decay=settings.WEIGHT_DECAY,
            eps=settings.EPS,
        )
        self._sums = GradientSums(self._parameters, self.group)
        self._parts = workload.parts(Share(self.group.rank, self.group.size))
        self._trace = Trace(self.group)
        self._waits: list[float] = []
        self._sent = 0
        mg.manual_seed(SEED)

    def begin(self) -> None:
        """Begin to count: the warm-up is over."""
        self._trace, self._waits, self._sent = Trace(self.group), [], self.group.bytes_sent

    def step(self, number: int) -> float:
        """Training step; returns this process's part of the loss."""
        with self._trace.step(number):
            part = self._parts[number % len(self._parts)]
            self._optimizer.zero_grad()
            with batch_share(part.first, len(part.labels)):
                loss = self._loss(part) * part.weight
                with self._sums:
                    loss.backward()
            clip_grad_norm_(self._parameters, settings.CLIP_NORM)
            self._optimizer.step()
        assert self._sums.times is not None
        self._trace.add_sums(self._sums.times)
        self._waits.append(self._sums.times.end - self._sums.times.waiting)
        return float(loss.item())

    def _loss(self, part: Part) -> Tensor:
        found = self._model(*part.inputs)
        logits = found if isinstance(found, Tensor) else found[0]
        smoothing = seq2seq.LABEL_SMOOTHING if len(part.inputs) > 1 else 0.0
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), part.labels.reshape(-1), label_smoothing=smoothing)

    def report(self) -> dict[str, object]:
        """Figures of the steps since they began to count; called by all processes."""
        sent = self.group.bytes_sent - self._sent
        events = self._trace.events()
        return {
            "bytes_sent": sent / len(self._waits),
            "bytes": sum(tensor.data.nbytes for tensor in self._parameters),
            "last_bytes": self._last_bytes(),
            "waits": self._waits,
            "events": events if self.group.rank == 0 else [],
            "alone": self._alone(),
        }

    def _last_bytes(self) -> int:
        """Bytes of the last bucket, whose sum cannot start before the end of the backward pass."""
        times = self._sums.times
        return times.sums[-1].bytes if times is not None and times.sums else 0

    def _alone(self, repeats: int = 5) -> list[float]:
        """Seconds of the same sums after a backward pass, each time; none in a process alone."""
        found = []
        for _ in range(repeats if self.group.size > 1 else 0):
            for tensor in self._parameters:
                assert tensor.grad is not None
                tensor.grad.data[...] = np.float32(1)
            self.group.barrier()
            start = time.perf_counter()
            with self._sums:
                pass
            found.append(time.perf_counter() - start)
        return found
