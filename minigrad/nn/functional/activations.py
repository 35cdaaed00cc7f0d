"""Activations; where one has a kink, its slope there is PyTorch's."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minigrad import kernels, random
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops import elementwise, softmax as rows
from minigrad.ops.arguments import axis_index
from minigrad.ops.batching import aligned
from minigrad.ops.elementwise import abs, astype, clip, expm1, relu, sigmoid, sign, tanh, where
from minigrad.ops.operands import as_floats, as_operand
from minigrad.ops.primitive import primitive
from minigrad.ops.reductions import max
from minigrad.ops.shape import reshape
from minigrad.ops.special import ndtr
from minigrad.random import Generator

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]

# Pieces of straight lines


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """Leaky rectified linear unit: x where x > 0, ``negative_slope`` · x elsewhere. Maas, Hannun and Ng, 2013."""
    (x,) = as_floats(input=input)
    return where(x > 0, x, negative_slope * x)


def prelu(input: Any, weight: Any) -> Tensor:
    """Parametric rectified linear unit: x where x > 0, ``weight`` · x elsewhere. He et al., 2015.

    Args:
        input: (N, C, …), or of any shape when there is one weight.
        weight: learned slopes, one for each channel (C,), or one for all.

    Raises:
        ValueError: the number of weights is neither 1 nor that of the channels.
    """
    x, weight = as_floats(input=input, weight=weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.size not in (1, channels):
        raise ValueError(f"weight: expected 1 or {channels} elements for input {x.shape}, got {weight.size}")
    weight = reshape(weight, () if weight.size == 1 else (channels, *(1,) * (x.ndim - 2)))
    return where(x > 0, x, weight * where(x > 0, 0, x))


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Hard tanh: x limited to [min_val, max_val]; unlike that of ``clip``, its slope is 0 at the bounds.

    Raises:
        ValueError: ``min_val`` is above ``max_val``.
    """
    if min_val > max_val:
        raise ValueError(f"min_val: expected at most max_val={max_val}, got {min_val}")
    x = as_operand(input, "input")
    return where((x <= min_val) | (x >= max_val), clip(x.detach(), min_val, max_val), x)


def relu6(input: Any) -> Tensor:
    """Rectified linear unit limited to [0, 6]. Krizhevsky, 2010."""
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input: Any) -> Tensor:
    """Hard sigmoid, of straight lines: (x + 3) / 6 limited to [0, 1]."""
    return hardtanh(as_floats(input=input)[0] + 3, 0.0, 6.0) / 6


def hardswish(input: Any) -> Tensor:
    """Hard swish: x · hardsigmoid(x). Howard et al., "Searching for MobileNetV3", 2019, section 5.2."""
    (x,) = as_floats(input=input)
    bent = where((x > -3) & (x < 3), x, 0)
    return where(x < 3, bent * (bent + 3) / 6, x)


def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Hard shrinkage: 0 where ``|x| ≤ lambd``, x elsewhere."""
    (x,) = as_floats(input=input)
    return where(abs(x) <= lambd, 0, x)


def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Soft shrinkage: x moved towards 0 by ``lambd``, and 0 where ``|x| ≤ lambd``.

    Raises:
        ValueError: ``lambd`` is negative.
    """
    if lambd < 0:
        raise ValueError(f"lambd: expected a number ≥ 0, got {lambd}")
    (x,) = as_floats(input=input)
    return where(abs(x) <= lambd, 0, x - lambd * sign(x.detach()))


def threshold(input: Any, threshold: float, value: float) -> Tensor:
    """Threshold: x where x > ``threshold``, ``value`` elsewhere."""
    x = as_operand(input, "input")
    return where(x <= threshold, value, x)


# Exponentials on one side


def _exponential_linear(x: Tensor, alpha: float, sharpness: float, slope: float) -> Tensor:
    """x where x > 0, α (e^(sharpness · x) - 1) where x < 0; at 0 a line of the curve's slope, for it has no bend there.

    The exponential never sees what would overflow it.
    """
    line = x if slope == 1 else x * where(x == 0, slope, 1)
    return where(x < 0, alpha * expm1(sharpness * where(x < 0, x, 0)), line)


def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """Exponential linear unit: x where x > 0, α (eˣ - 1) elsewhere. Clevert, Unterthiner and Hochreiter, 2016."""
    return _exponential_linear(as_floats(input=input)[0], alpha, 1.0, alpha)


def celu(input: Any, alpha: float = 1.0) -> Tensor:
    """Continuously differentiable ELU: x where x > 0, α (e^(x/α) - 1) elsewhere. Barron, 2017.

    Raises:
        ValueError: ``alpha`` is 0.
    """
    if not alpha:
        raise ValueError("alpha: expected a number other than 0")
    return _exponential_linear(as_floats(input=input)[0], alpha, 1 / alpha, 1.0)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu(input: Any) -> Tensor:
    """Scaled ELU: λ · elu(x, α), which drives activations to mean 0 and variance 1. Klambauer et al., 2017, eq. 2."""
    return SELU_SCALE * _exponential_linear(as_floats(input=input)[0], SELU_ALPHA, 1.0, SELU_ALPHA)


# Smooth functions


@primitive(dtypes="floating", batching=aligned)
def fused_gelu(x: Array, /, approximate: str) -> Array:
    return kernels.gelu(x, approximate)


@fused_gelu.joint_vjp
def _gelu_vjp(g: Array, x: Array, approximate: str) -> list[Array]:
    return [kernels.gelu_backward(g, x, approximate)]


@fused_gelu.composed
def _gelu(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return x * (0.5 * tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))) + 0.5)
    return x * ndtr(x)


def gelu(input: Any, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """Gaussian error linear unit: x · Φ(x) with the normal distribution function Φ. Hendrycks and Gimpel, 2016.

    Args:
        input: of any shape.
        approximate: "tanh" for the paper's approximation 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))).

    Raises:
        ValueError: ``approximate`` is something else.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.functional.gelu([-1.0, 0.0, 1.0])
        tensor([-0.15865526,  0.        ,  0.8413447 ])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate: expected 'none' or 'tanh', got {approximate!r}")
    return fused_gelu(input if isinstance(input, Tensor) else as_operand(input, "input"), approximate)


@primitive(dtypes="floating", batching=aligned)
def fused_silu(x: Array, /) -> Array:
    return kernels.silu(x)


@fused_silu.joint_vjp
def _silu_vjp(g: Array, x: Array) -> list[Array]:
    return [kernels.silu_backward(g, x)]


@fused_silu.composed
def _silu(x: Any) -> Any:
    return x * sigmoid(x)


def silu(input: Any) -> Tensor:
    """Sigmoid linear unit, or swish: x · sigmoid(x). Elfwing, Uchibe and Doya, 2017."""
    return fused_silu(input if isinstance(input, Tensor) else as_operand(input, "input"))


fused_gelu.name, fused_silu.name = "gelu", "silu"


def mish(input: Any) -> Tensor:
    """Mish: x · tanh(softplus(x)). Misra, 2019."""
    (x,) = as_floats(input=input)
    return x * tanh(elementwise.softplus(x))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Softplus: log(1 + e^(β x)) / β; x itself where β x is above ``threshold``."""
    (x,) = as_floats(input=input)
    return where(x * beta > threshold, x, elementwise.softplus(x * beta) / beta)


def logsigmoid(input: Any) -> Tensor:
    """Log-sigmoid, without underflow."""
    return -elementwise.softplus(-as_floats(input=input)[0])


def softsign(input: Any) -> Tensor:
    """Softsign: ``x / (1 + |x|)``."""
    (x,) = as_floats(input=input)
    return x / (1 + abs(x))


def tanhshrink(input: Any) -> Tensor:
    """Tanh shrinkage: x - tanh(x)."""
    (x,) = as_floats(input=input)
    return x - tanh(x)


# Along an axis


def glu(input: Any, axis: int = -1) -> Tensor:
    """Gated linear unit: a · sigmoid(b) of the two halves a and b along ``axis``. Dauphin et al., 2017.

    Raises:
        ValueError: that axis has an odd size.
    """
    x = as_operand(input, "input")
    axis = axis_index(axis, x.ndim)
    if x.shape[axis] % 2:
        raise ValueError(f"input: expected an even size along axis {axis}, got shape {x.shape}")
    before, half = (slice(None),) * axis, x.shape[axis] // 2
    return x[(*before, slice(half))] * sigmoid(x[(*before, slice(half, None))])


def _cast(x: Tensor, dtype: npt.DTypeLike | None) -> Tensor:
    return x if dtype is None else astype(x, dtype, copy=False)


def softmax(input: Any, axis: int = -1, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Softmax along ``axis``: exp(x) / Σ exp(x); ``input`` is cast to ``dtype`` first. See :func:`minigrad.softmax`."""
    return rows.softmax(_cast(as_floats(input=input)[0], dtype), axis)


def log_softmax(input: Any, axis: int = -1, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Log-softmax along ``axis``: x - log Σ exp(x); ``input`` is cast to ``dtype`` first."""
    return rows.log_softmax(_cast(as_floats(input=input)[0], dtype), axis)


def softmin(input: Any, axis: int = -1, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Softmin along ``axis``: softmax(-x); ``input`` is cast to ``dtype`` first."""
    return rows.softmax(-_cast(as_floats(input=input)[0], dtype), axis)


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, axis: int = -1, generator: Generator | None = None
) -> Tensor:
    """Gumbel-softmax: a random choice along ``axis`` through which gradients flow. Jang, Gu and Poole, 2017, eq. 2.

    Args:
        logits: unnormalized log-probabilities, of any shape.
        tau: the temperature; the lower, the closer to one-hot.
        hard: return the choice one-hot, with the gradient of the soft one.
        axis: along which the choices lie.
        generator: where the draws come from; the global default when None.
    """
    (x,) = as_floats(logits=logits)
    noise = -np.log(-np.log(random.uniform(x.shape, np.finfo(x.dtype).tiny, 1.0, x.dtype, generator).numpy()))
    soft = rows.softmax((x + noise) / tau, axis)
    if not hard:
        return soft
    chosen = soft.detach()
    return astype(chosen == max(chosen, axis=axis, keepdims=True), x.dtype) + (soft - chosen)
