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

_HOME = {
    "matmul": "matmul",
    "softmax": "softmax",
    "softmax_backward": "softmax",
    "log_softmax": "softmax",
    "log_softmax_backward": "softmax",
    "layer_norm": "layer_norm",
    "layer_norm_backward": "layer_norm",
    "cross_entropy": "cross_entropy",
    "cross_entropy_backward": "cross_entropy",
    "adam_step": "adam",
    "add_rows": "scatter",
}

__all__ = list(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = function  # found directly from now on, and again over the submodule that import_module bound here
    return function


def __dir__() -> list[str]:
    return sorted(_HOME)
