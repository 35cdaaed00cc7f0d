"""The larger jobs in PyTorch through ``torch.compile``."""

from __future__ import annotations

from functools import partial

from tests.benchmarks import startup
from tests.benchmarks.frameworks.torch_side import start
from tests.benchmarks.models import torch_gpt, torch_seq2seq

__all__ = ["first_step", "forward_seq2seq", "start", "train_gpt"]

first_step = partial(startup.first_step, "compile")
train_gpt = partial(torch_gpt.train_gpt, compiled=True)
forward_seq2seq = partial(torch_seq2seq.forward_seq2seq, compiled=True)
