"""Optimizers, learning-rate schedules and gradient clipping."""

from minigrad.optim import lr_scheduler
from minigrad.optim.adafactor import Adafactor
from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.clip import clip_grad_norm_, clip_grad_value_, grad_norm
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adafactor",
    "Adam",
    "AdamW",
    "Optimizer",
    "clip_grad_norm_",
    "clip_grad_value_",
    "grad_norm",
    "lr_scheduler",
]
