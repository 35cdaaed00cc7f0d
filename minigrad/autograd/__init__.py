"""Automatic differentiation with PyTorch's names: :func:`backward`, :func:`grad`, hooks, custom :class:`Function`."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from minigrad.autograd.anomaly import detect_anomaly
from minigrad.autograd.checkpoint import checkpoint
from minigrad.autograd.function import Function
from minigrad.name_hints import module_hints as _module_hints
from minigrad.ops.gradients import backward, grad, register_hook, register_post_accumulate_grad_hook, retain_grad
from minigrad.pytorch_names import HINTS as _HINTS

__all__ = [
    "Function",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "grad",
    "register_hook",
    "register_post_accumulate_grad_hook",
    "retain_grad",
]

if not _TYPE_CHECKING:
    __getattr__ = _module_hints(__name__, _HINTS["mg.autograd"])
