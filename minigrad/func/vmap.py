"""Vectorization: functions of one example mapped over a batch, at once or example by example."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.engine.tensor import Tensor
from minigrad.func.batched import Batched, BatchError, Level, enter_batch, leave_batch
from minigrad.ops.creation import asarray
from minigrad.ops.indexing import getitem
from minigrad.ops.joining import stack
from minigrad.ops.shape import moveaxis
from minigrad.random import Generator, watch_draws
from minigrad.trees import flatten, leaves_like, structure

Function = Callable[..., Any]
OfLeaves = Callable[[Sequence[Any]], Any]


def vmap(function: Function, in_axes: Any = 0, out_axes: Any = 0) -> Function:
    """Vectorizing map: a function over a batch of examples, from a function of one.

    Operations run on the whole batch at once (:mod:`minigrad.ops.batching`). A function that branches on values, as in
    ``if x > 0``, cannot: it runs example by example. Random draws are shared by the examples of a batch.

    Args:
        function: from trees of tensors to a tree of tensors; without side effects.
        in_axes: the axis to map over: an integer or None (the same for all examples) for all arguments, or a tuple
            with one for each, where it may be a tree like the argument.
        out_axes: where the batch stands in the results: an integer, None for a result that is the same for all
            examples and is returned as it is, or a tree of these like the result.

    Returns:
        A function of the same arguments with one more axis each. Keyword arguments are mapped over their first axis.

    Raises:
        ValueError: sizes along the mapped axes differ, nothing is mapped, or ``out_axes`` is None for a result that
            depends on the example.

    Example:
        Gradients for each example of a batch:

        >>> import minigrad as mg
        >>> loss = lambda w, x: ((w * x).sum()) ** 2
        >>> mg.func.vmap(mg.func.grad(loss), in_axes=(None, 0))(mg.ones(2), mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[ 6., 12.],
                [42., 56.]])
    """

    @functools.wraps(function)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, build = flatten((args, kwargs))

        def of_leaves(new: Sequence[Any]) -> Any:
            new_args, new_kwargs = build(new)
            return function(*new_args, **new_kwargs)

        per_argument = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        if len(per_argument) != len(args):
            raise ValueError(f"in_axes: expected one for each of the {len(args)} arguments, got {len(per_argument)}")
        axes = _spread(tuple(per_argument), args, "in_axes") + [0] * len(flatten(kwargs)[0])
        mapped_over = [axis is not None for axis in axes]
        rows = [x if axis is None else moveaxis(asarray(x), axis, 0) for x, axis in zip(leaves, axes, strict=True)]
        sizes = {x.shape[0] for x, each in zip(rows, mapped_over, strict=True) if each}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(f"in_axes: expected one size above 0 along all mapped axes, got {sorted(sizes) or 'none'}")
        (size,) = sizes
        with watch_draws() as draws:
            try:
                return _at_once(of_leaves, rows, mapped_over, size, out_axes)
            except BatchError:
                return _example_by_example(of_leaves, rows, mapped_over, size, out_axes, draws)

    return mapped


def _spread(prefix: Any, tree: Any, argument: str) -> list[Any]:
    """Expand a prefix tree: one axis for each leaf of the full tree."""
    if prefix is None or isinstance(prefix, int):
        return [prefix] * len(flatten(tree)[0])
    if isinstance(prefix, dict) and isinstance(tree, dict) and prefix.keys() == tree.keys():
        return [axis for key in tree for axis in _spread(prefix[key], tree[key], argument)]
    if isinstance(prefix, (tuple, list)) and isinstance(tree, (tuple, list)) and len(prefix) == len(tree):
        return [axis for part, branch in zip(prefix, tree, strict=True) for axis in _spread(part, branch, argument)]
    raise ValueError(f"{argument}: expected an integer, None, or a tree like {structure(tree)}, got {prefix!r}")


def _at_once(function: OfLeaves, rows: list[Any], mapped_over: list[bool], size: int, out_axes: Any) -> Any:
    """Run the function on the whole batch."""
    level = Level(size)

    def left(result: Any, axis: int | None) -> Any:
        if axis is not None:
            return moveaxis(leave_batch(asarray(result), level), 0, axis)
        if isinstance(result, Tensor) and isinstance(result.data, Batched) and level in result.data.levels:
            raise _depends_on_the_example()
        return result

    try:
        result = function([enter_batch(x, level) if each else x for x, each in zip(rows, mapped_over, strict=True)])
        leaves, build = flatten(result)
        return build([left(*pair) for pair in zip(leaves, _spread(out_axes, result, "out_axes"), strict=True)])
    finally:
        level.live = False


def _example_by_example(
    function: OfLeaves,
    rows: list[Any],
    mapped_over: list[bool],
    size: int,
    out_axes: Any,
    draws: dict[Generator, dict[str, Any]],
) -> Any:
    """Loop over the examples, the results stacked; all of them repeat the random ``draws`` of the first."""

    def of_example(i: int) -> Any:
        for generator, state in draws.items():
            generator.state = state
        # Copies: the function may change its examples in place.
        return function([getitem(x, i).copy() if each else x for x, each in zip(rows, mapped_over, strict=True)])

    def combined(results: Sequence[Any], axis: int | None) -> Any:
        if axis is not None:
            return moveaxis(stack([asarray(result) for result in results]), 0, axis)
        first, *others = (np.asarray(asarray(result).data) for result in results)
        if not all(np.array_equal(first, other, equal_nan=True) for other in others):
            raise _depends_on_the_example()
        return results[0]

    results = [of_example(i) for i in range(size)]
    expected, (_, build) = structure(results[0]), flatten(results[0])
    columns = zip(*(leaves_like(result, expected, "results of the examples") for result in results), strict=True)
    axes = _spread(out_axes, results[0], "out_axes")
    return build([combined(*pair) for pair in zip(columns, axes, strict=True)])


def _depends_on_the_example() -> ValueError:
    return ValueError("out_axes: got None for a result that is not the same for all examples; expected an axis")
