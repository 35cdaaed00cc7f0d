"""How operations run over a batch of examples that the code calling them does not see.

Inside :func:`minigrad.func.vmap` a tensor's data is a :class:`~minigrad.tensor.Batched` array: it shows the shape of
one example, and keeps all of them along leading axes, one for each vmap under way. An operation runs on all examples
at once when its definition names a rule, which fits the operation's arguments to these additional axes:

    rule(arrays, depth, params) → (arrays, params)

Every array among the inputs has ``depth`` leading axes, of size 1 where it is the same for all examples. The result's
leading axes must again be the batch. An operation without a rule runs example by example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.batched import Batched, Level
from minigrad.modes import in_backward_pass
from minigrad.ops.axes import axis_index, reduced_axes
from minigrad.tensor import Array

BatchingRule = Callable[[list[Any], int, dict[str, Any]], tuple[list[Any], dict[str, Any]]]


def aligned(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """For inputs that broadcast against each other, element by element or over all but the last axes.

    Axes of size 1 after the batch bring all examples to the same number of dimensions.
    """
    top = max(array.ndim for array in arrays if isinstance(array, np.ndarray))
    return [
        array.reshape(*array.shape[:depth], *(1,) * (top - array.ndim), *array.shape[depth:])
        if isinstance(array, np.ndarray)
        else array
        for array in arrays
    ], params


def along_axis(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """For inputs of one shape and a parameter ``axis``: an integer, a tuple, or None for all axes of the example."""
    axis = params["axis"]
    if len(arrays) > 1:
        lead = np.broadcast_shapes(*(array.shape[:depth] for array in arrays))
        arrays = [np.broadcast_to(array, lead + array.shape[depth:]) for array in arrays]
    ndim = arrays[0].ndim - depth
    if axis is None or isinstance(axis, tuple) or not ndim:
        axis = tuple(a + depth for a in reduced_axes(axis, ndim))  # of an example that is a number: none
    else:
        axis = axis_index(axis, ndim) + depth
    return arrays, {**params, "axis": axis}


def run(
    forward: Callable[..., Any], rule: BatchingRule | None, values: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Callable[[Any], Any]]:
    """An operation's forward on values of which some are batched.

    Returns:
        What the forward gave on whole batches, and the function that marks each of its arrays as one.
    """
    if not in_backward_pass():  # which may come after a vmap, and sums over its examples
        for value in values:
            if isinstance(value, Batched):
                value.check_live()
    levels = sorted({level for value in values if isinstance(value, Batched) for level in value.levels})
    arrays = [spread(value, levels) for value in values]
    if rule is None:
        out = _one_by_one(forward, arrays, levels, params)
    else:
        arrays, params = rule(arrays, len(levels), params)
        out = forward(*arrays, **params)
    return out, lambda array: Batched(np.asarray(array), tuple(levels))


def spread(value: Any, levels: Sequence[Level]) -> Any:
    """An array with a leading axis for each of the levels: of its own examples, or of size 1."""
    if isinstance(value, Batched):
        own = iter(value.array.shape)
        lead = [next(own) if level in value.levels else 1 for level in levels]
        return value.array.reshape(*lead, *value.shape)
    if isinstance(value, (np.ndarray, np.generic)):
        return np.reshape(value, (1,) * len(levels) + value.shape)
    return value


def _one_by_one(forward: Callable[..., Any], arrays: list[Any], levels: Sequence[Level], params: dict[str, Any]) -> Any:
    """The forward for each example on its own, the results stacked."""
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


def enter(data: Array | Batched, level: Level) -> Batched:
    """The first axis of an array becomes a level."""
    if isinstance(data, Batched):
        depth = len(data.levels)
        levels = tuple(sorted((*data.levels, level)))
        return Batched(np.moveaxis(data.array, depth, levels.index(level)), levels)
    return Batched(data[...], (level,))


def leave(data: Array | Batched, level: Level) -> Array | Batched:
    """A level becomes the first axis; values that are the same for all examples are repeated.

    What is left shares no memory with what was entered.
    """
    if not isinstance(data, Batched):
        return np.array(np.broadcast_to(data, (level.size, *np.shape(data))))
    depth = len(data.levels)
    if level not in data.levels:
        lead, example = data.array.shape[:depth], data.shape
        repeated = np.broadcast_to(data.array.reshape(*lead, 1, *example), (*lead, level.size, *example))
        return Batched(np.array(repeated), data.levels)
    own = data.array if data.array.base is None else data.array.copy()
    moved = np.moveaxis(own, data.levels.index(level), depth - 1)
    rest = tuple(other for other in data.levels if other is not level)
    return Batched(moved, rest) if rest else moved


def total(data: Batched, levels: Sequence[Level]) -> Array | Batched:
    """The sum over the examples of some levels."""
    array = data.array.sum(axis=tuple(data.levels.index(level) for level in levels))
    rest = tuple(level for level in data.levels if level not in levels)
    return Batched(np.asarray(array), rest) if rest else np.asarray(array)
