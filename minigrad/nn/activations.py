"""Activation layers; :mod:`minigrad.nn.functional` has their formulas."""

from __future__ import annotations

from typing import Literal

from minigrad.engine.tensor import Tensor
from minigrad.nn import functional
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
