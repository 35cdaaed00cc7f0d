"""Linear layers."""

from __future__ import annotations

import math

from minigrad.engine.tensor import Shape, Tensor
from minigrad.nn import init
from minigrad.nn.functional.linear import linear
from minigrad.nn.module import Module, Parameter
from minigrad.ops.creation import empty


def uniform_parameter(shape: Shape, fan_in: int) -> Parameter:
    """Uniform on ±1/√fan_in, PyTorch's default: He et al.'s bound for a leaky ReLU with slope √5."""
    parameter = Parameter(empty(shape))
    bound = 1 / math.sqrt(max(fan_in, 1))
    init.uniform_(parameter, -bound, bound)
    return parameter


class Linear(Module):
    """Affine map ``y = x Wᵀ + b``: (…, in_features) to (…, out_features).

    Args:
        in_features, out_features: sizes of the last axis before and after.
        bias: whether to add b.

    W and b start uniform on ±1/√in_features, as in PyTorch.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Linear(3, 5)(mg.ones((2, 3))).shape
        (2, 5)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = in_features
        self.out_features = out_features
        self.weight = uniform_parameter((out_features, in_features), in_features)
        self.bias = uniform_parameter((out_features,), in_features) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
