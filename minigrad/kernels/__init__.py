"""Numba CPU kernels: ndarrays in, ndarrays out; they know nothing of tensors or graphs.

Each kernel is a named forward (and backward) with its shapes in comments. Importing this package is free: Numba is
loaded when the first kernel is asked for.

>>> import numpy as np
>>> from minigrad import kernels
>>> kernels.matmul(np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)).shape
(2, 4)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from minigrad.kernels.interrupts import uninterrupted

# Where each name lives. No submodule bears a public name: importing it would put the module in the function's place.
_HOME = {
    "matmul": "products",
    "sum_rows": "sums",
    "softmax": "softmaxes",
    "softmax_backward": "softmaxes",
    "log_softmax": "softmaxes",
    "log_softmax_backward": "softmaxes",
    "add_dropout_norm": "norms",
    "add_dropout_norm_backward": "norms",
    "rms_norm": "norms",
    "rms_norm_backward": "norms",
    "layer_norm": "norms",
    "layer_norm_backward": "norms",
    "choose": "choices",
    "gelu": "activations",
    "gelu_backward": "activations",
    "silu": "activations",
    "silu_backward": "activations",
    "sigmoid": "activations",
    "sigmoid_backward": "activations",
    "relu": "activations",
    "relu_backward": "activations",
    "cross_entropy": "losses",
    "cross_entropy_backward": "losses",
    "adam_step": "adam",
    "squared_norm": "clipping",
    "squared_norms": "clipping",
    "scale_arrays": "clipping",
    "add_rows": "scatter",
    "dropout": "dropouts",
    "attention": "attentions",
    "attention_backward": "attentions",
    "linear_recurrence": "recurrences",
    "rnn": "recurrent",
    "rnn_backward": "recurrent",
    "lstm": "recurrent",
    "lstm_backward": "recurrent",
    "gru": "recurrent",
    "gru_backward": "recurrent",
    "erf": "special",
    "erfc": "special",
    "erfcx": "special",
    "erfinv": "special",
    "lgamma": "special",
    "digamma": "special",
    "polygamma": "special",
    "sinc_derivative": "special",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with uninterrupted():
        function = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = function  # found directly from now on
    return function


def __dir__() -> list[str]:
    return sorted(_HOME)
