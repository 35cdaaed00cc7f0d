"""Batching rules: an operation's arguments with leading batch axes that its caller does not see.

Under :func:`minigrad.func.vmap` an operation with a rule runs on all examples at once:

    rule(arrays, depth, params) → (arrays, params)

Every array among the inputs has ``depth`` leading axes, of size 1 where it is the same for all examples. The result's
leading axes must again be the batch. An operation without a rule runs example by example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.engine.primitive import add, alias, cast, spread, sum_to
from minigrad.engine.tensor import Operation
from minigrad.ops.arguments import axis_index, reduced_axes

BatchingRule = Callable[[list[Any], int, dict[str, Any]], tuple[list[Any], dict[str, Any]]]


def aligned(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Batching rule for inputs that broadcast against each other, over all or all but the last axes.

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
    """Batching rule for inputs of one shape and a parameter ``axis``: an integer, a tuple, or None for all axes."""
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


def _sum_to_examples(arrays: list[Any], depth: int, params: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    (x,) = arrays
    axes = tuple(axis + depth for axis in params["axes"])
    return arrays, {"axes": axes, "shape": (*x.shape[:depth], *params["shape"])}


batching_rules: dict[Operation, BatchingRule] = {
    alias: aligned,
    cast: aligned,
    add: aligned,
    sum_to: _sum_to_examples,
    spread: _sum_to_examples,
}
