"""Dropout layers."""

from __future__ import annotations

from minigrad.engine.tensor import Tensor
from minigrad.nn.functional.dropout import check_probability, dropout
from minigrad.nn.module import Module
from minigrad.random import Generator


class Dropout(Module):
    """Dropout: in training, zero each element with probability p, scale the others by 1/(1-p). Srivastava et al., 2014.

    Args:
        p: the probability, 0 ≤ p ≤ 1.
        generator: where the draws come from; the global default when None.
    """

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        check_probability(p)
        self.p = p
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"
