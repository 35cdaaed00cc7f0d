"""Dropout: elements or whole channels zeroed at random in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.arguments import as_number
from minigrad.ops.operands import as_operand
from minigrad.ops.primitive import primitive
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


@primitive(dtypes="floating")
def seeded_dropout(x: Array, /, p: float, seed: int) -> Array:
    """Dropout whose mask is recomputed from (seed, index); see the kernel."""
    return kernels.dropout(x, p, seed)


# Linear in x and its own transpose.
seeded_dropout.vjp(x=lambda g, p, seed: seeded_dropout(g, p, seed))
seeded_dropout.name = "dropout"


def dropout(input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """Dropout: in training, each element zero with probability ``p``, else scaled by 1/(1-p). Srivastava et al., 2014.

    Args:
        input: of any shape.
        p: the probability.
        training: otherwise ``input`` is returned as it is.
        generator: where the draws come from; the global default when None.

    Raises:
        TypeError: ``p`` is no number.
        ValueError: ``p`` is no probability.

    Example:
        >>> import minigrad as mg
        >>> dropout(mg.ones(6), 0.5, generator=mg.random.Generator(0))
        tensor([2., 2., 2., 0., 2., 2.])
    """
    if type(p) is not float or not 0 <= p <= 1:
        check_probability(p)
    x = input if isinstance(input, Tensor) else as_operand(input, "input")
    return seeded_dropout(x, p, draw_seed(generator, x.shape)) if training and p else x


def _channel_dropout(name: str, spatial: int) -> Any:
    def channel_dropout(
        input: Any, p: float = 0.5, training: bool = True, generator: Generator | None = None
    ) -> Tensor:
        check_probability(p)
        x = as_operand(input, "input")
        if x.ndim not in (spatial + 1, spatial + 2):
            raise ValueError(f"input: {name} expects (N, C, …) or (C, …) with {spatial} spatial axes, got {x.shape}")
        if not training or not p:
            return x
        kept = np.ones((*x.shape[: x.ndim - spatial], *(1,) * spatial), x.dtype)
        return x * seeded_dropout(kept, p, draw_seed(generator, kept.shape))

    channel_dropout.__name__ = channel_dropout.__qualname__ = name
    channel_dropout.__doc__ = f"Dropout of whole channels, each with its {spatial} spatial axes. Tompson et al., 2015."
    return channel_dropout


dropout1d = _channel_dropout("dropout1d", 1)
dropout2d = _channel_dropout("dropout2d", 2)
dropout3d = _channel_dropout("dropout3d", 3)
