"""Layers without arithmetic: the identity, and flattening."""

from __future__ import annotations

from typing import Any

from minigrad.engine.tensor import Tensor
from minigrad.nn.module import Module
from minigrad.ops import shape


class Identity(Module):
    """Identity: returns its input; takes any arguments, to stand where another layer stood."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Module):
    """Flattening of the axes from ``start_axis`` to ``end_axis``: by default all but the first, the batch.

    Example:
        >>> import minigrad as mg
        >>> mg.nn.Flatten()(mg.ones((2, 3, 4))).shape
        (2, 12)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        self.start_axis = start_axis
        self.end_axis = end_axis

    def forward(self, x: Tensor) -> Tensor:
        return shape.flatten(x, self.start_axis, self.end_axis)

    def extra_repr(self) -> str:
        return f"start_axis={self.start_axis}, end_axis={self.end_axis}"
