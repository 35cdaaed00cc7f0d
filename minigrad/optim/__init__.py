"""Optimizers, learning-rate schedules and gradient clipping."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from minigrad.name_hints import hint_arguments as _hint_arguments, module_hints as _module_hints
from minigrad.optim import lr_scheduler
from minigrad.optim.adafactor import Adafactor
from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.clip import clip_grad_norm_, clip_grad_value_, grad_norm
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.sgd import SGD
from minigrad.pytorch_names import ARGUMENTS as _ARGUMENTS, HINTS as _HINTS

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
    _hint_arguments(_kind, _ARGUMENTS)

if not _TYPE_CHECKING:
    __getattr__ = _module_hints(__name__, _HINTS["mg.optim"])
