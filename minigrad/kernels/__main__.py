"""``python -m minigrad.kernels``: compile all kernels ahead of time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console

from minigrad import kernels

DTYPES = {"float32": np.float32, "float64": np.float64}

ELEMENTWISE = ("gelu", "relu", "sigmoid", "silu")
SPECIAL = ("erf", "erfc", "erfcx", "erfinv", "lgamma", "digamma")
ACTIVATIONS = ("PiecewiseLinear", "Shrink", "ExponentialLinear", "Softplus", "HardSwish", "Mish")
ROWS = ("softmax", "log_softmax")


def first_calls(dtype: Any) -> dict[str, Callable[[], Any]]:
    """A small call of each kernel, which makes Numba compile it for this dtype."""
    x = np.linspace(0.1, 0.9, 12, dtype=dtype).reshape(3, 4)
    row, scale, heads = x[:, 0].copy(), x[0].copy(), x[None, None]
    steps, four, three = (np.ones((1, 3, 3 * gates), dtype) for gates in (1, 4, 3))
    classes, twice = np.array([0, 1, -100]), np.array([1, 1])
    family = [kind(*[0.5] * len(kind._fields)) for kind in (getattr(kernels, name) for name in ACTIVATIONS)]
    of_one = {name: partial(getattr(kernels, name), x) for name in (*ELEMENTWISE, *SPECIAL, *ROWS)}
    of_two = {f"{name}_backward" for name in (*ELEMENTWISE, *ROWS)}
    return {
        **of_one,
        **{name: partial(getattr(kernels, name), x, x) for name in sorted(of_two)},
        "activation": lambda: [kernels.activation(f, x) for f in family],
        "activation_backward": lambda: [kernels.activation_backward(f, x, x) for f in family],
        "gelu by tanh": lambda: kernels.gelu_backward(kernels.gelu(x, "tanh"), x, "tanh"),
        "matmul": lambda: kernels.matmul(x, x.T),
        "sum_rows": lambda: kernels.sum_rows(x),
        "layer_norm": lambda: kernels.layer_norm(x, scale, scale),
        "layer_norm_backward": lambda: kernels.layer_norm_backward(x, x, scale, row, row),
        "rms_norm": lambda: kernels.rms_norm(x, scale),
        "rms_norm_backward": lambda: kernels.rms_norm_backward(x, x, scale, row),
        "cross_entropy": lambda: kernels.cross_entropy(x, classes),
        "cross_entropy_backward": lambda: kernels.cross_entropy_backward(row, x, classes, x[:, :2]),
        "dropout": lambda: kernels.dropout(x, 0.5, 0),
        "where": lambda: kernels.where(x > 0.5, x, -x),
        "scaled_dot_product_attention": lambda: kernels.scaled_dot_product_attention(heads, heads, heads),
        "scaled_dot_product_attention_backward": lambda: kernels.scaled_dot_product_attention_backward(
            heads, heads, heads, heads, heads, heads[..., :2]
        ),
        "paged_attention": lambda: kernels.paged_attention(heads, x[:, None], x[:, None], np.array([[0, 1]])),
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
        "polygamma": lambda: kernels.polygamma(1, x),
        "sinc_derivative": lambda: kernels.sinc_derivative(x, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m minigrad.kernels", description=__doc__.partition(": ")[2])
    parser.add_argument("--dtype", choices=DTYPES, action="append", help="for this dtype only; may be repeated")
    chosen = parser.parse_args(arguments).dtype or list(DTYPES)
    start = time.perf_counter()
    calls = [call for name in chosen for call in first_calls(DTYPES[name]).values()]
    for call in calls:
        call()
    Console().print(f"{len(calls)} kernels are ready for {' and '.join(chosen)} ({time.perf_counter() - start:.1f} s)")


if __name__ == "__main__":
    main()
