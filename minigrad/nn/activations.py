"""Activation layers; :mod:`minigrad.nn.functional` has their formulas."""

from __future__ import annotations

from typing import Literal

from minigrad.engine.tensor import Tensor
from minigrad.nn import functional
from minigrad.nn.function_module import FunctionModule
from minigrad.nn.module import Module


class ReLU(Module):
    """Rectified linear unit: max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x)


class GELU(Module):
    """Gaussian error linear unit: x · Φ(x); ``approximate`` is "none" or "tanh"."""

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """Sigmoid linear unit, or swish: x · sigmoid(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(x)


class Sigmoid(Module):
    """Logistic sigmoid: 1 / (1 + e⁻ˣ)."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.sigmoid(x)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.tanh(x)


class Softmax(Module):
    """Softmax along ``axis``: exp(x) / Σ exp(x)."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return functional.softmax(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class CELU(FunctionModule, function=functional.celu):
    """Continuously differentiable exponential linear unit."""


class ELU(FunctionModule, function=functional.elu):
    """Exponential linear unit."""


class GLU(FunctionModule, function=functional.glu):
    """Gated linear unit: one half times the sigmoid of the other."""


class Hardsigmoid(FunctionModule, function=functional.hardsigmoid):
    """Piecewise linear sigmoid."""


class Hardswish(FunctionModule, function=functional.hardswish):
    """SiLU with a piecewise linear sigmoid."""


class Hardtanh(FunctionModule, function=functional.hardtanh):
    """Piecewise linear tanh."""


class LeakyReLU(FunctionModule, function=functional.leaky_relu):
    """Rectified linear unit with a slope below 0."""


class LogSigmoid(FunctionModule, function=functional.logsigmoid):
    """Logarithm of the sigmoid."""


class LogSoftmax(FunctionModule, function=functional.log_softmax):
    """Logarithm of the softmax."""


class Mish(FunctionModule, function=functional.mish):
    """Mish: x · tanh(softplus(x))."""


class ReLU6(FunctionModule, function=functional.relu6):
    """Rectified linear unit, at most 6."""


class SELU(FunctionModule, function=functional.selu):
    """Scaled exponential linear unit."""


class Softmin(FunctionModule, function=functional.softmin):
    """Softmin: softmax of -x."""


class Softplus(FunctionModule, function=functional.softplus):
    """Softplus: log(1 + eˣ)."""


class Softsign(FunctionModule, function=functional.softsign):
    """Softsign: ``x / (1 + |x|)``."""
