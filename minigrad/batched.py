"""Data with more axes than it shows: all examples of a batch, under the shape of one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class Level:
    """One vmap under way: how many examples it has. Levels are ordered by their start."""

    __slots__ = ("live", "serial", "size")

    _serials = itertools.count()

    def __init__(self, size: int) -> None:
        self.size = size
        self.serial = next(Level._serials)
        self.live = True

    def __lt__(self, other: Level) -> bool:
        return self.serial < other.serial


class BatchError(TypeError):
    """The values of a batched tensor were asked for, but each of its examples has its own."""


class Batched:
    """The data of a tensor inside :func:`minigrad.func.vmap`: it shows one example's shape and keeps all of them.

    ``array`` has a leading axis for each of ``levels``, in their order, and behind them the axes of an example.
    """

    __slots__ = ("array", "levels")

    def __init__(self, array: Array, levels: tuple[Level, ...]) -> None:
        self.array = array
        self.levels = levels

    @property
    def shape(self) -> Shape:
        return self.array.shape[len(self.levels) :]

    @property
    def ndim(self) -> int:
        return self.array.ndim - len(self.levels)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def astype(self, dtype: npt.DTypeLike, copy: bool = True) -> Batched:
        return Batched(self.array.astype(dtype, copy=copy), self.levels)

    def check_live(self) -> None:
        """Refuse examples that have left their vmap.

        Raises:
            RuntimeError: a vmap that this is a batch of has ended.
        """
        if not all(level.live for level in self.levels):
            raise RuntimeError(
                "vmap: this tensor stands for the examples of a vmap that has ended; return it from the mapped "
                "function instead of keeping it"
            )

    def refuse(self, *args: Any, **kwargs: Any) -> Any:
        """Raise an error: there is no one value to give."""
        self.check_live()
        raise BatchError("vmap: this code needs the values of one example, but is given a whole batch")

    __array__ = __bool__ = __int__ = __float__ = __complex__ = __index__ = item = tolist = refuse


def as_data(result: Any) -> Any:
    """What an operation computed as a tensor's data: NumPy's reductions give scalars."""
    return result if isinstance(result, (np.ndarray, Batched)) else np.asarray(result)
