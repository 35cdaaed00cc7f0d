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

from minigrad.kernels.compiling.interrupts import uninterrupted

# The public names of each module. No theme has one of them as its name: importing it would replace the function.
_NAMES = {
    "products.matmul": ("matmul",),
    "products.quantized": ("quantize", "quantized_matrix", "quantized_matmul"),
    "rowwise.softmax": ("softmax", "softmax_backward", "log_softmax", "log_softmax_backward", "logsumexp"),
    "rowwise.top_k": ("top_k",),
    "rowwise.normalization": (
        "rms_norm",
        "rms_norm_backward",
        "layer_norm",
        "layer_norm_backward",
    ),
    "rowwise.channel_norm": ("group_norm", "group_norm_backward", "batch_norm", "batch_norm_backward"),
    "rowwise.cross_entropy": ("cross_entropy", "cross_entropy_backward"),
    "rowwise.reduction": ("sum_rows", "sum_channels"),
    "rowwise.scatter_add": ("add_rows",),
    "elementwise.activations": (
        *("gelu", "gelu_backward", "silu", "silu_backward"),
        *("sigmoid", "sigmoid_backward", "relu", "relu_backward"),
    ),
    "elementwise.activation_family": (
        *("activation", "activation_backward"),
        *("PiecewiseLinear", "Shrink", "ExponentialLinear", "Softplus", "HardSwish", "Mish"),
    ),
    "elementwise.prelu": ("prelu", "prelu_backward"),
    "elementwise.special_functions": (
        *("erf", "erfc", "erfcx", "erfinv", "lgamma", "digamma", "polygamma", "sinc_derivative"),
    ),
    "elementwise.where": ("where",),
    "elementwise.sum_parts": ("sum_parts",),
    "elementwise.bfloat16": ("to_bfloat16", "from_bfloat16"),
    "elementwise.dropout": ("dropout",),
    "attention.scaled_dot_product": ("scaled_dot_product_attention", "scaled_dot_product_attention_backward"),
    "attention.paged_attention": ("paged_attention",),
    "program.interpreter": ("run_program",),
    "convolutions.im2col": ("convolution", "convolution_transpose", "convolution_weight"),
    "convolutions.depthwise": (
        "depthwise_convolution",
        "depthwise_convolution_transpose",
        "depthwise_convolution_weight",
    ),
    "recurrent.rnn": ("rnn", "rnn_backward", "lstm", "lstm_backward", "gru", "gru_backward"),
    "recurrent.linear_recurrence": ("linear_recurrence",),
    "optimizers.adam": ("adam_step",),
    "optimizers.clipping": ("squared_norm", "squared_norms", "scale_arrays"),
}
_SETTINGS = {
    "compiling.compiler": ("silence_compilation",),
    "compiling.parallel": ("get_num_threads", "set_num_threads"),
    "elementwise.dropout": ("seed_from_row",),
}
_HOME = {name: module for table in (_NAMES, _SETTINGS) for module, names in table.items() for name in names}

__all__ = [name for names in _NAMES.values() for name in names]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with uninterrupted():
        function = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = function  # found directly from now on
    return function


def __dir__() -> list[str]:
    return sorted(_HOME)
