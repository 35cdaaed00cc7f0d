"""The operations in minigrad, by its public names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np

import minigrad as mg
from minigrad import Tensor, autograd, kernels, no_grad
from minigrad.nn import functional as F
from tests.benchmarks import inputs, startup
from tests.benchmarks.job import Program
from tests.benchmarks.limits import measure_limits, read_bandwidth
from tests.benchmarks.models.minigrad_gpt import decode_gpt, train_gpt
from tests.benchmarks.models.minigrad_language import decode_language
from tests.benchmarks.models.minigrad_seq2seq import forward_seq2seq, train_seq2seq, translate
from tests.benchmarks.models.minigrad_training import clipped_adamw

__all__ = [
    "clipped_adamw",
    "decode_gpt",
    "decode_language",
    "first_step",
    "forward_seq2seq",
    "import_package",
    "measure_limits",
    "read_bandwidth",
    "train_gpt",
    "train_seq2seq",
    "translate",
]

import_package = partial(startup.import_package, "minigrad")
first_step = partial(startup.first_step, "minigrad")


def start(threads: int) -> None:
    """Load Numba and the heart of the kernels; the number of threads is in the environment."""
    mg.matmul(np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))


def program(
    function: Callable[..., Tensor],
    given: Mapping[str, inputs.Input],
    gradients_of: tuple[str, ...],
    options: Mapping[str, Any],
) -> Program:
    tensors = {name: mg.tensor(array, requires_grad=name in gradients_of) for name, array in inputs.draw(given).items()}

    def forward() -> dict[str, Tensor]:
        with no_grad():
            return {"output": function(**tensors, **options)}

    def forward_and_backward() -> dict[str, Tensor]:
        output = function(**tensors, **options)
        gradients = cast("list[Tensor]", autograd.grad(output, [tensors[name] for name in gradients_of], gradient))
        return {"output": output} | {f"gradient of {name}": g for name, g in zip(gradients_of, gradients, strict=True)}

    if gradients_of:
        gradient = mg.tensor(inputs.cotangent(forward()["output"].shape))
    call = forward_and_backward if gradients_of else forward
    return Program(call, lambda: {name: result.detach().numpy() for name, result in call().items()})


# Products


def product_nn(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def product_nt(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.mT


def product_tn(a: Tensor, b: Tensor) -> Tensor:
    return a.mT @ b


def product_bfloat16(a: Tensor, b: Tensor) -> Tensor:
    with mg.autocast("bfloat16"):
        return a @ b.mT


def quantized_product(rows: int, columns: int, inner: int, format: str) -> Program:
    given = inputs.draw({"x": inputs.Normal((rows, inner)), "weight": inputs.Normal((columns, inner))})
    weight = kernels.quantize(given["weight"], format)
    call = partial(kernels.quantized_matmul, given["x"], weight)
    return Program(call, lambda: {"output": call()})


def product_bias_gelu(a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(F.linear(a, b.mT, bias))


# Activations

leaky_relu, hardtanh, hardswish, softshrink = F.leaky_relu, F.hardtanh, F.hardswish, F.softshrink
elu, softplus, mish, prelu = F.elu, F.softplus, F.mish, F.prelu

# Row by row


def softmax(x: Tensor) -> Tensor:
    return F.softmax(x)


def log_softmax(x: Tensor) -> Tensor:
    return F.log_softmax(x)


def cross_entropy(x: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    return F.cross_entropy(x, target, label_smoothing=label_smoothing)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, weight.shape, weight, bias)


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, weight.shape, weight)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    return F.group_norm(x, groups, weight, bias)


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, weight, bias, training=True)


def convolution(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    return F.conv2d(x, weight, bias, padding="same", groups=groups)


def gelu(x: Tensor) -> Tensor:
    return F.gelu(x)


def dropout(x: Tensor, p: float) -> Tensor:
    return F.dropout(x, p)


def embedding(table: Tensor, ids: Tensor) -> Tensor:
    return F.embedding(ids, table)


# Attention


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False, p: float = 0.0
) -> Tensor:
    return F.scaled_dot_product_attention(
        query, key, value, mask, p, is_causal=causal, enable_gqa=key.shape[1] != query.shape[1]
    )
