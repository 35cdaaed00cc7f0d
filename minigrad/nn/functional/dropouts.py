"""Dropout: random zeros in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.engine.tensor import Tensor
from minigrad.ops import dropout as ops_dropout
from minigrad.ops.arguments import as_number
from minigrad.ops.operands import as_operand
from minigrad.random import Generator, draw_seed

__all__ = [
    "check_probability",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
]


def check_probability(p: float) -> None:
    """Raise an error unless 0 ≤ p ≤ 1."""
    if not 0 <= as_number(p, "p") <= 1:
        raise ValueError(f"p: expected a probability between 0 and 1, got {p}")


def _is_identity(p: float, training: bool) -> bool:
    check_probability(p)
    return not training or p == 0


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """In training, zero each element with probability ``p`` and scale the others by 1/(1-p). Srivastava et al., 2014.

    Args:
        input: of any shape.
        p: the probability.
        training: otherwise ``input`` is returned as it is.
        generator: where the draws come from; the global default when None.
    """
    x = as_operand(input, "input")
    return x if _is_identity(p, training) else ops_dropout.dropout(x, p, draw_seed(generator))


def _channel_dropout(name: str, spatial: int) -> Any:
    def channel_dropout(
        input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None
    ) -> Tensor:
        x = as_operand(input, "input")
        if x.ndim not in (spatial + 1, spatial + 2):
            raise ValueError(f"input: {name} expects (N, C, …) or (C, …) with {spatial} spatial axes, got {x.shape}")
        if _is_identity(p, training):
            return x
        kept = np.ones((*x.shape[: x.ndim - spatial], *(1,) * spatial), x.dtype)
        return x * ops_dropout.dropout(kept, p, draw_seed(generator))

    channel_dropout.__name__ = channel_dropout.__qualname__ = name
    channel_dropout.__doc__ = (
        f"Like :func:`dropout`, but of whole channels, each with its {spatial} spatial axes. Tompson et al., 2015."
    )
    return channel_dropout


dropout1d = _channel_dropout("dropout1d", 1)
dropout2d = _channel_dropout("dropout2d", 2)
dropout3d = _channel_dropout("dropout3d", 3)
