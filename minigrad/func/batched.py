"""Batched array: all examples of a batch under the shape of one, the tracer of :func:`minigrad.func.vmap`.

Operations on it run on whole batches, by their rules in :mod:`minigrad.ops.batching`. What all examples share enters
by an explicit broadcast, :func:`share`, whose derivative sums over the examples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.engine.grad_mode import in_backward_pass, is_grad_enabled
from minigrad.engine.primitive import Primitive, WithResiduals
from minigrad.engine.tensor import Array, Operation, Shape, Tensor, Tracer
from minigrad.ops.batching import batching_rules


class Level:
    """Level of a running vmap, with its batch size. Levels are ordered by their start."""

    __slots__ = ("live", "serial", "size")

    _serials = itertools.count()

    def __init__(self, size: int) -> None:
        self.size = size
        self.serial = next(Level._serials)
        self.live = True

    def __lt__(self, other: Level) -> bool:
        return self.serial < other.serial


class BatchError(TypeError):
    """Error: code needs the values of a batched tensor, which differ between its examples."""


class Batched(Tracer):
    """Array with hidden vmap axes: it has one example's shape and holds all examples.

    ``array`` has a leading axis for each of ``levels``, in their order, and behind them the axes of an example. It is
    of size 1 where the examples of a level are all the same.
    """

    __slots__ = ("array", "levels")

    no_leaf = "backward: inside vmap each example has its own gradient; use func.grad, which returns it"

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

    def values(self) -> Array:
        return self.array

    def check_live(self) -> None:
        """Raise an error for examples outside of their vmap.

        Raises:
            RuntimeError: a vmap that this is a batch of has ended.
        """
        if not all(level.live for level in self.levels):
            raise RuntimeError(
                "vmap: this tensor stands for the examples of a vmap that has ended; return it from the mapped "
                "function instead of keeping it"
            )

    def refuse(self, *args: Any, **kwargs: Any) -> Any:
        """Raise an error: a batched tensor has no single value."""
        self.check_live()
        raise BatchError("vmap: this code needs the values of one example, but got a whole batch")

    __array__ = __bool__ = __int__ = __float__ = __complex__ = __index__ = item = tolist = refuse

    def __repr__(self) -> str:
        return "<one of a batch>"

    # Operations

    @classmethod
    def apply(cls, op: Operation, args: tuple[Any, ...], values: list[Any], params: dict[str, Any]) -> Any:
        """Run an operation over all examples of the running vmaps; a fused one through its decomposition."""
        assert isinstance(op, Primitive)
        if isinstance(op, _OnBatches):
            return op.wrap(args, values, params, op.forward(*values, **params))
        rule = batching_rules.get(op)
        if rule is None and op.decomposition is not None:
            return op.decomposition(*args, **params)
        aligned = cls.align(args) if op.differentiable else args
        for position, (arg, old) in enumerate(zip(aligned, args, strict=True)):
            if arg is not old:
                values[position] = arg.data.astype(values[position].dtype, copy=False)
        levels = _levels(values)
        arrays = [_spread(value, levels) for value in values]
        if rule is None:
            out = _one_by_one(op.forward, arrays, levels, params)
        else:
            arrays, params_of_batch = rule(arrays, len(levels), params)
            out = op.forward(*arrays, **params_of_batch)

        def batch(array: Any) -> Batched:
            return Batched(np.asarray(array), tuple(levels))

        if isinstance(out, WithResiduals):
            residuals = {name: batch(value) for name, value in out.residuals.items()}
            out = WithResiduals(_each(batch, out.out), **residuals)
        else:
            out = _each(batch, out)
        return op.wrap(aligned, values, params, out)

    @classmethod
    def align(cls, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Align arguments: those that are recorded become batches of all the levels."""
        if not is_grad_enabled() or not any(isinstance(arg, Tensor) and arg.requires_grad for arg in args):
            return args
        levels = _levels([arg.data for arg in args if isinstance(arg, Tensor)])

        def aligned(arg: Any) -> Any:
            if not isinstance(arg, Tensor) or not arg.requires_grad:
                return arg
            own = arg.data.levels if isinstance(arg.data, Batched) else ()
            missing = tuple(level for level in levels if level not in own)
            return share(arg, missing) if missing else arg

        return tuple([aligned(arg) for arg in args])


def _levels(values: Sequence[Any]) -> list[Level]:
    """Levels of all the values, sorted."""
    batches = [value for value in values if isinstance(value, Batched)]
    if not in_backward_pass():  # a backward pass may run after the vmap, and sums over its examples
        for value in batches:
            value.check_live()
    return sorted({level for value in batches for level in value.levels})


def _each(function: Callable[[Any], Any], results: Any) -> Any:
    return [function(result) for result in results] if isinstance(results, (tuple, list)) else function(results)


def _spread(value: Any, levels: Sequence[Level]) -> Any:
    """Array with a leading axis for each of the levels, of size 1 where it is not batched."""
    if isinstance(value, Batched):
        own = iter(value.array.shape)
        lead = [next(own) if level in value.levels else 1 for level in levels]
        return value.array.reshape(*lead, *value.shape)
    if isinstance(value, (np.ndarray, np.generic)):
        return np.reshape(value, (1,) * len(levels) + value.shape)
    return value


def _one_by_one(forward: Callable[..., Any], arrays: list[Any], levels: Sequence[Level], params: dict[str, Any]) -> Any:
    """Loop over the examples: the forward for each, the results stacked."""
    sizes = tuple(level.size for level in levels)
    whole = [
        np.broadcast_to(array, sizes + array.shape[len(sizes) :]) if isinstance(array, np.ndarray) else array
        for array in arrays
    ]

    def stacked(results: list[Any]) -> Any:
        first = results[0]
        if hasattr(first, "residuals"):
            residuals = {name: stacked([result.residuals[name] for result in results]) for name in first.residuals}
            return type(first)(stacked([result.out for result in results]), **residuals)
        if isinstance(first, (tuple, list)):
            return [stacked(list(parts)) for parts in zip(*results, strict=True)]
        return np.stack([np.asarray(result) for result in results]).reshape(sizes + np.shape(first))

    return stacked(
        [
            forward(*(array[(*example, ...)] if isinstance(array, np.ndarray) else array for array in whole), **params)
            for example in np.ndindex(sizes)
        ]
    )


# Entering and leaving a batch works on the batched data itself.


class _OnBatches(Primitive):
    """Operation on the batch itself, not a map over the examples."""


@_OnBatches
def enter_batch(x: Any, /, level: Level) -> Any:
    """Enter a batch: each row of ``x`` becomes an example."""
    if isinstance(x, Batched):
        depth = len(x.levels)
        levels = tuple(sorted((*x.levels, level)))
        return Batched(np.moveaxis(x.array, depth, levels.index(level)), levels)
    return Batched(x[...], (level,))


@_OnBatches
def _leave_batch(x: Any, /, level: Level) -> Any:
    """Leave a batch: each example becomes a row of a new array; values shared by all examples are repeated."""
    if not isinstance(x, Batched):
        return np.array(np.broadcast_to(x, (level.size, *x.shape)))
    rest = tuple(other for other in x.levels if other is not level)
    place = len(rest)
    rows = np.moveaxis(x.array, x.levels.index(level), place) if level in x.levels else np.expand_dims(x.array, place)
    moved = np.array(np.broadcast_to(rows, (*rows.shape[:place], level.size, *x.shape)))
    return Batched(moved, rest) if rest else moved


@_OnBatches
def share(x: Any, /, levels: tuple[Level, ...]) -> Any:
    """Broadcast over the examples of some levels, without a copy."""
    every = tuple(sorted((*(x.levels if isinstance(x, Batched) else ()), *levels)))
    return Batched(_spread(x, every), every)


@_OnBatches
def sum_examples(x: Any, /, levels: tuple[Level, ...]) -> Any:
    """Sum over the examples of some levels."""
    if not isinstance(x, Batched):
        return x * np.asarray(math.prod(level.size for level in levels), x.dtype)
    every = tuple(sorted({*x.levels, *levels}))
    array = _spread(x, every)
    lead = [level.size if level in levels else size for level, size in zip(every, array.shape, strict=False)]
    array = np.broadcast_to(array, (*lead, *x.shape))
    total = np.asarray(array.sum(axis=tuple(every.index(level) for level in levels)))
    rest = tuple(level for level in every if level not in levels)
    return Batched(total, rest) if rest else total


def _unshare(g: Any, levels: tuple[Level, ...]) -> Any:
    """Vector-Jacobian product of :func:`share`: a sum over the examples once their vmap has ended."""
    ended = tuple(level for level in levels if not level.live)
    return sum_examples(g, ended) if ended else g


def leave_batch(x: Any, level: Level) -> Any:
    """Each example becomes a row; a tensor that all examples share is broadcast to them first."""
    if isinstance(x, Tensor) and not (isinstance(x.data, Batched) and level in x.data.levels):
        x = share(x, (level,))
    return _leave_batch(x, level)


_leave_batch.name = "leave_batch"
enter_batch.vjp(x=lambda g, level: leave_batch(g, level))
_leave_batch.vjp(x=lambda g, level: enter_batch(g, level))
share.vjp(x=_unshare)
sum_examples.vjp(x=lambda g: g)
