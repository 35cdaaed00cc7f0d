"""Activations that are more than one operation elsewhere, fused: forward and gradient in one pass each."""

from __future__ import annotations

import math
from typing import Any

from minigrad import kernels
from minigrad.engine.tensor import Array
from minigrad.ops.batching import aligned
from minigrad.ops.elementwise import sigmoid, tanh
from minigrad.ops.primitive import primitive
from minigrad.ops.special import ndtr

__all__ = [
    "gelu",
    "silu",
]


@primitive(dtypes="floating", batching=aligned)
def gelu(x: Array, /, approximate: str = "none") -> Array:
    """x · Φ(x), or with "tanh" 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))). Hendrycks and Gimpel, 2016."""
    return kernels.gelu(x, approximate)


@gelu.joint_vjp
def _gelu_vjp(g: Array, x: Array, approximate: str) -> list[Array]:
    return [kernels.gelu_backward(g, x, approximate)]


@gelu.composed
def _gelu(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return x * (0.5 * tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))) + 0.5)
    return x * ndtr(x)


@primitive(dtypes="floating", batching=aligned)
def silu(x: Array, /) -> Array:
    """x · sigmoid(x). Elfwing, Uchibe and Doya, 2017."""
    return kernels.silu(x)


@silu.joint_vjp
def _silu_vjp(g: Array, x: Array) -> list[Array]:
    return [kernels.silu_backward(g, x)]


@silu.composed
def _silu(x: Any) -> Any:
    return x * sigmoid(x)
