"""Activations; where one has a kink, its slope there is PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minigrad import kernels, random
from minigrad.engine.primitive import Primitive
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops import elementwise, softmax as rows
from minigrad.ops.arguments import as_number, axis_index
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


def _fused(function: Callable[..., tuple[float, ...]]) -> Callable[[Callable[..., Tensor]], Primitive]:
    """Decorator of a decomposition in x and numbers: the operation on the kernel of ``function`` of these numbers."""

    def define(decomposition: Callable[..., Tensor]) -> Primitive:
        @primitive(dtypes="floating", batching=aligned)
        def fused(x: Array, /, numbers: Any) -> Array:
            return kernels.activation(function(*numbers), x)

        @fused.joint_vjp
        def vjp(g: Array, x: Array, numbers: Any) -> list[Array]:
            return [kernels.activation_backward(function(*numbers), g, x)]

        fused.composed(lambda x, numbers: decomposition(x, *numbers))
        fused.name = decomposition.__name__.removeprefix("_")
        return fused

    return define


def _numbers(**numbers: Any) -> tuple[float, ...]:
    return tuple([float(as_number(number, name)) for name, number in numbers.items()])


# Pieces of straight lines


@_fused(lambda slope: kernels.PiecewiseLinear(0.0, math.inf, slope, 0.0, 1.0, 0.0, 1.0, 0.0))
def _leaky_relu(x: Any, slope: float) -> Any:
    return where(x > 0, x, slope * x)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """Leaky rectified linear unit: x where x > 0, ``negative_slope`` · x elsewhere. Maas, Hannun and Ng, 2013."""
    return _leaky_relu(as_operand(input, "input"), _numbers(negative_slope=negative_slope))


@primitive(dtypes="floating")
def fused_prelu(x: Array, weight: Array, /) -> Array:
    rows, slopes = _rows_of_slopes(x, weight)
    return kernels.prelu(rows, slopes).reshape(x.shape)


@fused_prelu.joint_vjp
def _prelu_vjp(g: Array, x: Array, weight: Array) -> list[Array]:
    rows, slopes = _rows_of_slopes(x, weight)
    gradient, slope_gradients = kernels.prelu_backward(g.reshape(rows.shape), rows, slopes)
    return [gradient.reshape(x.shape), slope_gradients.reshape(len(weight), _columns(x, weight)).sum(axis=1)]


@fused_prelu.composed
def _prelu(x: Any, weight: Any) -> Any:
    weight = reshape(weight, () if weight.size == 1 else (weight.size, *(1,) * (x.ndim - 2)))
    return where(x > 0, x, weight * where(x > 0, 0, x))


def _rows_of_slopes(x: Array, weight: Array) -> tuple[Array, Array]:
    """x as rows, and the slope of each of their columns."""
    columns = _columns(x, weight)
    width = columns * len(weight)
    return x.reshape(x.size // width if width else 0, width), np.repeat(weight, columns)


def _columns(x: Array, weight: Array) -> int:
    """Neighbours that share a slope."""
    return math.prod(x.shape[-1:] if len(weight) == 1 else x.shape[2:])


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
    return fused_prelu(x, reshape(weight, (weight.size,)))


@_fused(lambda low, high: kernels.PiecewiseLinear(low, high, 0.0, low, 1.0, 0.0, 0.0, high))
def _hardtanh(x: Any, low: float, high: float) -> Any:
    return where((x <= low) | (x >= high), clip(x.detach(), low, high), x)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Hard tanh: x limited to [min_val, max_val]; unlike that of ``clip``, its slope is 0 at the bounds.

    Raises:
        ValueError: ``min_val`` is above ``max_val``.
    """
    if min_val > max_val:
        raise ValueError(f"min_val: expected at most max_val={max_val}, got {min_val}")
    return _hardtanh(as_operand(input, "input"), _numbers(min_val=min_val, max_val=max_val))


def relu6(input: Any) -> Tensor:
    """Rectified linear unit limited to [0, 6]. Krizhevsky, 2010."""
    return hardtanh(input, 0.0, 6.0)


@_fused(lambda: kernels.PiecewiseLinear(-3.0, 3.0, 0.0, 0.0, 1 / 6, 3.0, 0.0, 1.0))
def _hardsigmoid(x: Any) -> Any:
    return hardtanh(x + 3, 0.0, 6.0) / 6


def hardsigmoid(input: Any) -> Tensor:
    """Hard sigmoid, of straight lines: (x + 3) / 6 limited to [0, 1]."""
    return _hardsigmoid(as_operand(input, "input"), ())


@_fused(lambda: kernels.HardSwish(3.0))
def _hardswish(x: Any) -> Any:
    bent = where((x > -3) & (x < 3), x, 0)
    return where(x < 3, bent * (bent + 3) / 6, x)


def hardswish(input: Any) -> Tensor:
    """Hard swish: x · hardsigmoid(x). Howard et al., "Searching for MobileNetV3", 2019, section 5.2."""
    return _hardswish(as_operand(input, "input"), ())


@_fused(lambda width: kernels.Shrink(width, 0.0))
def _hardshrink(x: Any, width: float) -> Any:
    return where(abs(x) <= width, 0, x)


def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Hard shrinkage: 0 where ``|x| ≤ lambd``, x elsewhere."""
    return _hardshrink(as_operand(input, "input"), _numbers(lambd=lambd))


@_fused(lambda width: kernels.Shrink(width, width))
def _softshrink(x: Any, width: float) -> Any:
    return where(abs(x) <= width, 0, x - width * sign(x.detach()))


def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """Soft shrinkage: x moved towards 0 by ``lambd``, and 0 where ``|x| ≤ lambd``.

    Raises:
        ValueError: ``lambd`` is negative.
    """
    if lambd < 0:
        raise ValueError(f"lambd: expected a number ≥ 0, got {lambd}")
    return _softshrink(as_operand(input, "input"), _numbers(lambd=lambd))


@_fused(lambda bound, value: kernels.PiecewiseLinear(bound, math.inf, 0.0, value, 1.0, 0.0, 1.0, 0.0))
def _threshold(x: Any, bound: float, value: float) -> Any:
    return where(x <= bound, value, x)


def threshold(input: Any, threshold: float, value: float) -> Tensor:
    """Threshold: x where x > ``threshold``, ``value`` elsewhere."""
    return _threshold(as_operand(input, "input"), _numbers(threshold=threshold, value=value))


# Exponentials on one side


def _elu(x: Any, alpha: float, sharpness: float, scale: float) -> Any:
    """At 0 a line of the curve's slope, for it has no bend there. The exponential never sees what would overflow it."""
    slope = alpha * sharpness
    line = x if slope == 1 else x * where(x == 0, slope, 1)
    return scale * where(x < 0, alpha * expm1(sharpness * where(x < 0, x, 0)), line)


_fused_elu = _fused(lambda alpha, sharpness, scale: kernels.ExponentialLinear(alpha, sharpness, scale))(_elu)


def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """Exponential linear unit: x where x > 0, α (eˣ - 1) elsewhere. Clevert, Unterthiner and Hochreiter, 2016."""
    return _fused_elu(as_operand(input, "input"), (*_numbers(alpha=alpha), 1.0, 1.0))


def celu(input: Any, alpha: float = 1.0) -> Tensor:
    """Continuously differentiable ELU: x where x > 0, α (e^(x/α) - 1) elsewhere. Barron, 2017.

    Raises:
        ValueError: ``alpha`` is 0.
    """
    if not alpha:
        raise ValueError("alpha: expected a number other than 0")
    x, (alpha,) = as_operand(input, "input"), _numbers(alpha=alpha)
    if alpha < 0:  # The kernel's exponential takes no positive numbers.
        (x,) = as_floats(input=x)
        return _elu(x, alpha, 1 / alpha, 1.0)
    return _fused_elu(x, (alpha, 1 / alpha, 1.0))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def selu(input: Any) -> Tensor:
    """Scaled ELU: λ · elu(x, α), which drives activations to mean 0 and variance 1. Klambauer et al., 2017, eq. 2."""
    return _fused_elu(as_operand(input, "input"), (SELU_ALPHA, 1.0, SELU_SCALE))


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


@_fused(lambda: kernels.Mish(1.0))
def _mish(x: Any) -> Any:
    return x * tanh(elementwise.softplus(x))


def mish(input: Any) -> Tensor:
    """Mish: x · tanh(softplus(x)). Misra, 2019."""
    return _mish(as_operand(input, "input"), ())


@_fused(lambda beta, threshold: kernels.Softplus(beta, threshold))
def _softplus(x: Any, beta: float, threshold: float) -> Any:
    return where(x * beta > threshold, x, elementwise.softplus(x * beta) / beta)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Softplus: log(1 + e^(β x)) / β; x itself where β x is above ``threshold``."""
    return _softplus(as_operand(input, "input"), _numbers(beta=beta, threshold=threshold))


@_fused(lambda: kernels.Softplus(-1.0, math.inf))
def _logsigmoid(x: Any) -> Any:
    return elementwise.log_sigmoid(x)


def logsigmoid(input: Any) -> Tensor:
    """Log-sigmoid, without underflow."""
    return _logsigmoid(as_operand(input, "input"), ())


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
