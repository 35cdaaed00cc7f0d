"""The layers that models are made of."""

from __future__ import annotations

import math
from typing import Any

from minigrad.nn import functional, init
from minigrad.nn.module import Module, Parameter
from minigrad.ops.creation import empty, ones, zeros
from minigrad.random import Generator
from minigrad.tensor import Tensor


class Linear(Module):
    """``y = x Wᵀ + b``: (…, in_features) to (…, out_features).

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
        bound = 1 / math.sqrt(max(in_features, 1))
        self.weight = Parameter(empty((out_features, in_features)))
        init.uniform_(self.weight, -bound, bound)
        self.bias = Parameter(empty(out_features)) if bias else None
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """A learned row for each index: integers of any shape to (…, embedding_dim). Rows start standard normal."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = Parameter(empty((num_embeddings, embedding_dim)))
        init.normal_(self.weight)

    def forward(self, indices: Any) -> Tensor:
        return functional.embedding(indices, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class LayerNorm(Module):
    """Rows of the last axis to mean 0 and variance 1, then scaled and shifted. Ba, Kiros and Hinton, 2016."""

    def __init__(self, size: int, eps: float = 1e-5, bias: bool = True) -> None:
        self.eps = eps
        self.weight = Parameter(ones(size))
        self.bias = Parameter(zeros(size)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.weight.size}, eps={self.eps}"


class Dropout(Module):
    """In training, zero each element with probability p and scale the others by 1/(1-p). Srivastava et al., 2014.

    Args:
        p: the probability, 0 ≤ p ≤ 1.
        generator: where the draws come from; the global default when None.
    """

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        functional.check_probability(p)
        self.p = p
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"{self.p}"
