"""The operations in JAX, compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks import inputs, startup
from tests.benchmarks.job import Program
from tests.benchmarks.models.jax_gpt import train_gpt

__all__ = ["first_step", "import_package", "train_gpt"]

import_package = partial(startup.import_package, "jax")
first_step = partial(startup.first_step, "jax")


def start(threads: int) -> None:
    """JAX has as many threads as the process has processors when it first computes."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    jax.block_until_ready(jnp.zeros(2) + 1)


def program(
    function: Callable[..., Any],
    given: Mapping[str, inputs.Input],
    gradients_of: tuple[str, ...],
    options: Mapping[str, Any],
) -> Program:
    arrays = {name: jnp.asarray(array) for name, array in inputs.draw(given).items()}

    def forward(arrays: dict[str, Any]) -> dict[str, Any]:
        return {"output": function(**arrays, **options)}

    def forward_and_backward(arrays: dict[str, Any], gradient: Any) -> dict[str, Any]:
        fixed = {name: array for name, array in arrays.items() if name not in gradients_of}

        def output(*varied: Any) -> Any:
            return function(**fixed, **dict(zip(gradients_of, varied, strict=True)), **options)

        result, backward = jax.vjp(output, *(arrays[name] for name in gradients_of))
        gradients = zip(gradients_of, backward(gradient), strict=True)
        return {"output": result} | {f"gradient of {name}": g for name, g in gradients}

    if gradients_of:
        shape = jax.eval_shape(forward, arrays)["output"].shape
        gradient = jnp.asarray(inputs.cotangent(shape))
        both = jax.jit(forward_and_backward)

        def call() -> Any:
            return jax.block_until_ready(both(arrays, gradient))

    else:
        alone = jax.jit(forward)

        def call() -> Any:
            return jax.block_until_ready(alone(arrays))

    return Program(call, lambda: {name: np.asarray(result) for name, result in call().items()})


# Products


def product_nn(a: Any, b: Any) -> Any:
    return a @ b


def product_nt(a: Any, b: Any) -> Any:
    return a @ b.mT


def product_tn(a: Any, b: Any) -> Any:
    return a.mT @ b


def product_bias_gelu(a: Any, b: Any, bias: Any) -> Any:
    return jax.nn.gelu(a @ b + bias, approximate=False)


# Row by row


def softmax(x: Any) -> Any:
    return jax.nn.softmax(x)


def log_softmax(x: Any) -> Any:
    return jax.nn.log_softmax(x)


def cross_entropy(x: Any, target: Any, label_smoothing: float) -> Any:
    logarithms = jax.nn.log_softmax(x)
    counted = target >= 0
    chosen = jnp.take_along_axis(logarithms, jnp.where(counted, target, 0)[:, None], -1)[:, 0]
    losses = -(1 - label_smoothing) * chosen - label_smoothing * logarithms.mean(-1)
    return jnp.where(counted, losses, 0.0).sum() / counted.sum()


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    return jax.nn.standardize(x, epsilon=1e-5) * weight + bias


def rms_norm(x: Any, weight: Any) -> Any:
    scale = jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + jnp.finfo(x.dtype).eps)
    return x * scale * weight


def gelu(x: Any) -> Any:
    return jax.nn.gelu(x, approximate=False)


def embedding(table: Any, ids: Any) -> Any:
    return table[ids]


# Attention


def attention(query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False) -> Any:
    query, key, value = (x.transpose(0, 2, 1, 3) for x in (query, key, value))  # JAX wants (B, T, H, D)
    return jax.nn.dot_product_attention(query, key, value, mask=mask, is_causal=causal).transpose(0, 2, 1, 3)
