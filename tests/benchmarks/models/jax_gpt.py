"""The GPT in JAX: plain functions of a dictionary of weights, the whole training step compiled at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program
from tests.benchmarks.models import gpt, settings
from tests.benchmarks.models.gpt import GPTSize

Weights = dict[str, Any]


def _linear(weights: Weights, name: str, x: Any) -> Any:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _norm(weights: Weights, name: str, x: Any) -> Any:
    centered = x - x.mean(-1, keepdims=True)
    scaled = centered * jax.lax.rsqrt((centered * centered).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _attention(weights: Weights, name: str, x: Any, heads: int) -> Any:
    batch, length, width = x.shape
    apart = _linear(weights, f"{name}.project", x).reshape(batch, length, 3, heads, width // heads)
    query, key, value = (apart[:, :, part] for part in range(3))  # (B, T, H, D), as JAX wants them
    seen = jax.nn.dot_product_attention(query, key, value, is_causal=True)
    return _linear(weights, f"{name}.output", seen.reshape(batch, length, width))


def loss_of(weights: Weights, tokens: Any, following: Any, size: GPTSize) -> Any:
    """The mean cross-entropy of the tokens that follow."""
    x = weights["tokens.weight"][tokens] + weights["positions.weight"][: tokens.shape[1]]
    for layer in range(size.layers):
        block = f"blocks.{layer}"
        x = x + _attention(weights, f"{block}.attention", _norm(weights, f"{block}.attention_norm", x), size.heads)
        expanded = _linear(weights, f"{block}.expand", _norm(weights, f"{block}.feed_forward_norm", x))
        x = x + _linear(weights, f"{block}.contract", jax.nn.gelu(expanded, approximate=False))
    logits = _norm(weights, "norm", x) @ weights["tokens.weight"].T
    chosen = jnp.take_along_axis(logits, following[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(logits, -1) - chosen).mean()


def _clipped(gradients: Weights) -> Weights:
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients)))
    return jax.tree.map(lambda g: g * jnp.minimum(1.0, settings.CLIP_NORM / norm), gradients)


def adamw(weights: Weights, gradients: Weights, state: tuple[Any, Weights, Weights]) -> tuple[Weights, Any]:
    """One step of AdamW (Loshchilov and Hutter, 2019, algorithm 2); the state is the count and both moments."""
    count, means, squares = state
    count = count + 1
    first, second = settings.BETAS
    means = jax.tree.map(lambda m, g: first * m + (1 - first) * g, means, gradients)
    squares = jax.tree.map(lambda v, g: second * v + (1 - second) * g * g, squares, gradients)

    def changed(w: Any, m: Any, v: Any) -> Any:
        step = m / (1 - first**count) / (jnp.sqrt(v / (1 - second**count)) + settings.EPS)
        return w - settings.LR * (step + settings.WEIGHT_DECAY * w)

    return jax.tree.map(changed, weights, means, squares), (count, means, squares)


def train_gpt(size: GPTSize) -> Program:
    """A training step: forward, backward, clipping, AdamW."""
    weights: Weights = {name: jnp.asarray(array) for name, array in gpt.weights(size).items()}
    state: Any = (
        jnp.zeros((), jnp.float32),
        jax.tree.map(jnp.zeros_like, weights),
        jax.tree.map(jnp.zeros_like, weights),
    )
    tokens, following = (jnp.asarray(array) for array in gpt.batch(size))

    def update(weights: Weights, state: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(weights, tokens, following, size)
        return gradients, loss, *adamw(weights, _clipped(gradients), state)

    compiled = jax.jit(lambda weights, state: update(weights, state)[1:], donate_argnums=(0, 1))

    def step() -> float:
        nonlocal weights, state
        loss, weights, state = compiled(weights, state)
        jax.block_until_ready((weights, state))
        return float(loss)

    def results() -> dict[str, Array]:
        checked = jax.jit(update)
        losses: list[Any] = []
        found: dict[str, Array] = {}
        new, moments = weights, state
        for _ in range(settings.CHECKED_STEPS):
            gradients, loss, new, moments = checked(new, moments)
            losses.append(loss)
            found = found or {f"gradient of {name}": np.asarray(g) for name, g in gradients.items()}
        return found | {"losses": np.array(losses, np.float32)}

    return Program(step, results)
