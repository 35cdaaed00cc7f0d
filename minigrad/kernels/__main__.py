"""``python -m minigrad.kernels``: compile all kernels ahead of time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from minigrad import kernels
from minigrad.kernels.convolutions.polyphase import Geometry
from minigrad.kernels.program.instructions import CACHE_WORDS, GROUP_WORDS, TABLE_WORDS, WORDS

DTYPES = {"float32": np.float32, "float64": np.float64}

ELEMENTWISE = ("gelu", "relu", "sigmoid", "silu")
SPECIAL = ("erf", "erfc", "erfcx", "erfinv", "lgamma", "digamma")
ACTIVATIONS = ("PiecewiseLinear", "Shrink", "ExponentialLinear", "Softplus", "HardSwish", "Mish")
ROWS = ("softmax", "log_softmax")

# What a Transformer's training step needs besides products and attention forward, which the process that this one helps
# compiles first: in the order of need, but attention's backward pass, the longest, early enough to be ready.
TRAINING = (
    *("layer_norm", "gelu", "cross_entropy", "cross_entropy_backward", "layer_norm_backward"),
    "scaled_dot_product_attention_backward",
    *("gelu_backward", "sum_rows", "add_rows", "squared_norms", "scale_arrays", "adam_step"),
    *("scaled_dot_product_attention", "matmul"),
)


def first_calls(dtype: Any) -> dict[str, Callable[[], Any]]:
    """A small call of each kernel, which makes Numba compile it for this dtype."""
    x = np.linspace(0.1, 0.9, 12, dtype=dtype).reshape(3, 4)
    row, scale, heads = x[:, 0].copy(), x[0].copy(), x[None, None]
    steps, four, three = (np.ones((1, 3, 3 * gates), dtype) for gates in (1, 4, 3))
    classes, twice, slots = np.array([0, 1, -100]), np.array([1, 1]), np.array([[0, 1]])
    wide = np.ones((1, 4, 64), dtype)
    family = [kind(*[0.5] * len(kind._fields)) for kind in (getattr(kernels, name) for name in ACTIVATIONS)]
    of_one = {name: partial(getattr(kernels, name), x) for name in (*ELEMENTWISE, *SPECIAL, *ROWS)}
    of_two = {f"{name}_backward" for name in (*ELEMENTWISE, *ROWS)}
    return {
        **of_one,
        **{name: partial(getattr(kernels, name), x, x) for name in sorted(of_two)},
        "activation": lambda: [kernels.activation(f, x) for f in family],
        "activation_backward": lambda: [kernels.activation_backward(f, x, x) for f in family],
        "prelu": lambda: kernels.prelu(x, scale),
        "prelu_backward": lambda: kernels.prelu_backward(x, x, scale),
        "gelu by tanh": lambda: kernels.gelu_backward(kernels.gelu(x, "tanh"), x, "tanh"),
        "matmul": lambda: kernels.matmul(x, x.T),
        **(half_precision(x, heads) if dtype is np.float32 else {}),
        "sum_rows": lambda: kernels.sum_rows(x),
        "sum_channels": lambda: kernels.sum_channels(x),
        "layer_norm": lambda: kernels.layer_norm(x, scale, scale),
        "layer_norm_backward": lambda: kernels.layer_norm_backward(x, x, scale, row, row),
        "rms_norm": lambda: kernels.rms_norm(x, scale),
        "rms_norm_backward": lambda: kernels.rms_norm_backward(x, x, scale, row),
        "group_norm": lambda: kernels.group_norm(x, 2, scale, scale),
        "group_norm_backward": lambda: kernels.group_norm_backward(x, x, scale, x[:, :2], x[:, :2]),
        "batch_norm": lambda: [kernels.batch_norm(images, scale, scale) for images in (x, wide)],
        "batch_norm_backward": lambda: [
            kernels.batch_norm_backward(images, images, scale, scale, scale) for images in (x, wide)
        ],
        "cross_entropy": lambda: kernels.cross_entropy(x, classes),
        "cross_entropy_backward": lambda: kernels.cross_entropy_backward(row, x, classes, x[:, :2]),
        "dropout": lambda: kernels.dropout(x, 0.5, 0),
        "where": lambda: kernels.where(x > 0.5, x, -x),
        "sum_parts": lambda: kernels.sum_parts(x, np.empty(x.shape[1], x.dtype)),
        "scaled_dot_product_attention": lambda: kernels.scaled_dot_product_attention(heads, heads, heads),
        "scaled_dot_product_attention_backward": lambda: kernels.scaled_dot_product_attention_backward(
            heads, heads, heads, heads, heads, heads[..., :2]
        ),
        "paged_attention": lambda: kernels.paged_attention(heads, x[:, None], x[:, None], slots),
        "logsumexp": lambda: kernels.logsumexp(x),
        "top_k": lambda: kernels.top_k(x[None], 2),
        "add_rows": lambda: kernels.add_rows(x.copy(), twice, x[:2]),
        "adam_step": lambda: kernels.adam_step(*([x.copy()] for _ in range(4)), step=1, lr=0.1),
        "squared_norm": lambda: kernels.squared_norm([x]),
        "squared_norms": lambda: kernels.squared_norms([x]),
        "scale_arrays": lambda: kernels.scale_arrays([x.copy()], 0.5),
        "linear_recurrence": lambda: kernels.linear_recurrence(x, x),
        "rnn": lambda: kernels.rnn(steps, steps[0], steps[0]),
        "rnn_backward": lambda: kernels.rnn_backward(steps, *[steps[0]] * 3, steps),
        "lstm": lambda: kernels.lstm(four, four.reshape(12, 3), steps[0], steps[0]),
        "lstm_backward": lambda: kernels.lstm_backward(
            steps, *[steps[0]] * 2, four.reshape(12, 3), *[steps[0]] * 2, steps, four, steps
        ),
        "gru": lambda: kernels.gru(three, three.reshape(9, 3), None, steps[0]),
        "gru_backward": lambda: kernels.gru_backward(
            steps, steps[0], three.reshape(9, 3), steps[0], steps, three, steps
        ),
        **convolutions(wide),
        "polygamma": lambda: kernels.polygamma(1, x),
        "sinc_derivative": lambda: kernels.sinc_derivative(x, 1),
    }


def convolutions(x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """First calls of convolutions of x (1, 4, 64), dense ones with windows of one element and of several."""
    one, three = (Geometry((64,), (size,), (1,), (1,), ((size // 2, size // 2),)) for size in (1, 3))
    weight = np.ones((4, 4, 3), x.dtype)
    dense = ((weight[..., :1], one), (weight, three))
    return {
        "convolution": lambda: [kernels.convolution(x, w, None, 1, windows) for w, windows in dense],
        "convolution_transpose": lambda: [kernels.convolution_transpose(x, w, 1, windows) for w, windows in dense],
        "convolution_weight": lambda: [kernels.convolution_weight(x, x, 1, windows) for _, windows in dense],
        "depthwise_convolution": lambda: kernels.depthwise_convolution(x, weight[0], None, three),
        "depthwise_convolution_transpose": lambda: kernels.depthwise_convolution_transpose(x, weight[0], 4, three),
        "depthwise_convolution_weight": lambda: kernels.depthwise_convolution_weight(x, x, three),
    }


def half_precision(x: np.ndarray, heads: np.ndarray) -> dict[str, Callable[[], Any]]:
    """First calls of products with bfloat16 operands and with quantised weights, which there are of float32 alone."""
    weights = {name: partial(kernels.quantize, x, name) for name in ("int8", "int8-weights", "bfloat16")}
    rounded, slots = kernels.to_bfloat16(x[:, None]), np.array([[0, 1]])
    attention = partial(kernels.scaled_dot_product_attention, heads, heads, heads)
    backward = partial(kernels.scaled_dot_product_attention_backward, *[heads] * 5, heads[..., :2])
    return {
        "matmul in bfloat16": lambda: kernels.matmul(x, x.T, precision="bfloat16"),
        "attention in bfloat16": lambda: attention(precision="bfloat16"),
        "its backward": lambda: backward(precision="bfloat16"),
        "paged_attention in bfloat16": lambda: kernels.paged_attention(heads, rounded, rounded, slots),
        "run_program": _run_empty_program,
        "to_bfloat16": lambda: kernels.to_bfloat16(x),
        "from_bfloat16": lambda: kernels.from_bfloat16(rounded),
        "quantize": weights["int8"],
        "quantized_matrix": lambda: kernels.quantized_matrix(np.ones((2, 2), np.uint16), None, "bfloat16"),
        "quantized_matmul": lambda: [kernels.quantized_matmul(x, weight()) for weight in weights.values()],
    }


def _run_empty_program() -> None:
    """Compile the interpreter of programs."""
    nothing = (np.zeros((0, words), np.int64) for words in (WORDS, GROUP_WORDS, CACHE_WORDS, TABLE_WORDS))
    instructions, groups, caches, tables = nothing
    kernels.run_program(instructions, groups, 1, caches, tables)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m minigrad.kernels", description=__doc__.partition(": ")[2])
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="for this dtype only; may be repeated")
    parser.add_argument("--training", action="store_true", help="only what a Transformer's training step needs")
    options = parser.parse_args(arguments)
    dtypes = options.dtype or list(DTYPES)
    start = time.perf_counter()
    seconds: dict[str, list[float]] = {}
    for dtype in dtypes:
        calls = first_calls(DTYPES[dtype])
        for name in TRAINING if options.training else calls:
            before = time.perf_counter()
            calls[name]()
            seconds.setdefault(name, []).append(time.perf_counter() - before)
    table = Table("kernel", *(Column(f"{dtype}, s", justify="right") for dtype in dtypes), box=None)
    for name, times in sorted(seconds.items(), key=lambda row: -sum(row[1])):
        table.add_row(name, *(f"{time_:.2f}" for time_ in times))
    console = Console()
    console.print(table)
    count, total = len(seconds) * len(dtypes), time.perf_counter() - start
    console.print(f"{count} kernels are ready for {' and '.join(dtypes)} ({total:.1f} s)")


if __name__ == "__main__":
    main()
