"""A replica of the model in PyTorch: one of the processes of DistributedDataParallel over Gloo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from tests.benchmarks.distributed.launch import STORE
from tests.benchmarks.distributed.workload import Part, Workload
from tests.benchmarks.inputs import SEED
from tests.benchmarks.models import gpt, seq2seq, settings
from tests.benchmarks.models.gpt import GPTSize
from tests.benchmarks.models.torch_gpt import GPT
from tests.benchmarks.models.torch_seq2seq import Seq2Seq
from transformer.data.share import Share


class Replica:
    """Model, optimizer and data of this process."""

    def __init__(self, workload: Workload) -> None:
        self._rank, self._ranks = int(os.environ.get("PMI_RANK", 0)), int(os.environ.get("PMI_SIZE", 1))
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        torch.manual_seed(SEED + self._rank)
        size = workload.size
        decoder = isinstance(size, GPTSize)
        model: Any = GPT(size) if decoder else Seq2Seq(size, workload.dropout)
        weights = gpt.weights(size) if decoder else seq2seq.weights(size)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        self._model = model
        if self._ranks > 1:
            store = Path(os.environ[STORE]).as_uri()
            dist.init_process_group("gloo", init_method=store, rank=self._rank, world_size=self._ranks)
            self._model = DistributedDataParallel(model, gradient_as_bucket_view=True)  # no copies
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=settings.LR,
            betas=settings.BETAS,
            weight_decay=settings.WEIGHT_DECAY,
            eps=settings.EPS,
            fused=True,
        )
        self._parts = workload.parts(Share(self._rank, self._ranks))

    def begin(self) -> None:
        """Begin to count: nothing here."""

    def step(self, number: int) -> float:
        """Training step; returns this process's part of the loss."""
        part = self._parts[number % len(self._parts)]
        self._optimizer.zero_grad()
        loss = self._loss(part) * part.weight
        torch.autograd.backward(loss * self._ranks)  # DistributedDataParallel takes the mean over the processes
        clip_grad_norm_(self._model.parameters(), settings.CLIP_NORM)
        self._optimizer.step()
        return float(loss.detach())

    def _loss(self, part: Part) -> Tensor:
        found = self._model(*map(torch.from_numpy, part.inputs))
        logits = found if isinstance(found, Tensor) else found[0]
        smoothing = seq2seq.LABEL_SMOOTHING if len(part.inputs) > 1 else 0.0
        labels = torch.from_numpy(part.labels).flatten()
        return F.cross_entropy(logits.flatten(0, 1), labels, label_smoothing=smoothing)

    def report(self) -> dict[str, object]:
        """Further figures: none."""
        if self._ranks > 1:
            dist.destroy_process_group()
        return {}
