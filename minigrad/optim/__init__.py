"""Optimizers, learning-rate schedules and gradient clipping."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from minigrad.optim import lr_scheduler
from minigrad.optim.adafactor import Adafactor
from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.clip import clip_grad_norm_, clip_grad_value_, grad_norm
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.sgd import SGD
from minigrad.pytorch_names import TOLD as _TOLD, tell_arguments as _tell_arguments
from minigrad.told import told as _told

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

for _kind in (SGD, Adafactor, Adam, AdamW):
    _tell_arguments(_kind)

if not _TYPE_CHECKING:
    __getattr__ = _told(__name__, _TOLD["mg.optim"])
