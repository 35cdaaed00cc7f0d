"""Automatic differentiation with PyTorch's names: :func:`backward`, :func:`grad`, hooks, custom :class:`Function`."""

from minigrad.autograd.anomaly import detect_anomaly
from minigrad.autograd.checkpoint import checkpoint
from minigrad.autograd.function import Function
from minigrad.ops.gradients import backward, grad, register_hook, retain_grad

__all__ = ["Function", "backward", "checkpoint", "detect_anomaly", "grad", "register_hook", "retain_grad"]
