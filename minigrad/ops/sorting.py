"""Sorting, searching and set functions."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from minigrad.engine.promotion import beside
from minigrad.engine.tensor import Array, Tensor, as_array
from minigrad.ops.arguments import as_integer, axis_index
from minigrad.ops.batching import along_axis
from minigrad.ops.comparisons import nonzero
from minigrad.ops.indexing import getitem, take_along_axis
from minigrad.ops.operands import as_operand
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import flatten, reshape

__all__ = ["argpartition", "argsort", "partition", "sort", "topk"]
__all__ += ["argwhere", "bincount", "digitize", "flatnonzero", "searchsorted"]
__all__ += ["isin", "unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"]

# Sorting


def _argsorted(x: Array, axis: int, descending: bool, stable: bool) -> Array:
    if not descending:
        return np.argsort(x, axis=axis, stable=stable)
    # Reversed twice, so that equal elements keep their order.
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, stable=stable), axis)


@primitive(batching=along_axis)
def _argsort(x: Array, /, axis: int, descending: bool, stable: bool) -> Array:
    return _argsorted(x, axis, descending, stable)


@primitive(batching=along_axis)
def _sort(x: Array, /, axis: int, descending: bool, stable: bool) -> Array:
    ordered = np.sort(np.flip(x, axis) if descending else x, axis=axis, stable=stable)
    return np.flip(ordered, axis) if descending else ordered


def _unsorted(g: Any, x: Any, axis: int, descending: bool) -> Any:
    """Gradient of a sort: the cotangent in the original order, by the inverse permutation."""
    places = _argsort(_argsort(x, axis, descending, True), axis, False, True)
    return take_along_axis(g, places, axis=axis)


_sort.vjp(x=_unsorted)
_argsort.name, _sort.name = "argsort", "sort"


def sort(x: Any, /, axis: int | None = -1, descending: bool = False, stable: bool = True) -> Any:
    """Sort along ``axis`` (None: the flattened array); NaN comes last, or first if descending.

    Example:
        >>> import minigrad as mg
        >>> mg.sort(mg.tensor([3, 1, 2]), descending=True)
        tensor([3, 2, 1])
    """
    x = as_operand(x)
    ordered = _ordered(_sort, x if x.ndim else flatten(x), axis, descending, stable)
    return ordered if x.ndim or axis is None else reshape(ordered, ())


def argsort(x: Any, /, axis: int | None = -1, descending: bool = False, stable: bool = True) -> Any:
    """Indices (int64) that sort along ``axis``; ``stable`` keeps the order of equal elements.

    A scalar counts as a vector of one element, as in NumPy.
    """
    x = as_operand(x)
    return _ordered(_argsort, x if x.ndim else flatten(x), axis, descending, stable)


def _ordered(order: Any, x: Any, axis: int | None, descending: bool, stable: bool) -> Any:
    """Sorting function along an axis, or of the flattened array."""
    return order(flatten(x), 0, descending, stable) if axis is None else order(x, axis, descending, stable)


@primitive(batching=along_axis)
def argpartition(x: Array, /, kth: int, axis: int = -1) -> Array:
    """Indices (int64) that partition along ``axis`` around the ``kth`` smallest element."""
    return np.argpartition(x, kth, axis=axis)


def partition(x: Any, /, kth: int, axis: int = -1) -> Any:
    """Partition along ``axis``: the ``kth`` smallest element in its sorted place, smaller ones before, larger after."""
    return take_along_axis(x, argpartition(x, kth, axis), axis=axis)


class TopK(NamedTuple):
    """The k largest or smallest elements, and their indices."""

    values: Any
    indices: Any


@primitive(batching=along_axis)
def _top_indices(x: Array, /, axis: int, k: int, largest: bool) -> Array:
    """Indices of the k largest (or smallest) elements, in that order."""
    size = x.shape[axis]
    lowest = slice(size - k, None) if largest else slice(0, k)
    if 0 < k < size:
        chosen = np.take(np.argpartition(x, size - k if largest else k - 1, axis=axis), np.r_[:size][lowest], axis=axis)
        chosen = np.sort(chosen, axis=axis)
        order = _argsorted(np.take_along_axis(x, chosen, axis), axis, largest, True)
        return np.take_along_axis(chosen, order, axis)
    return np.take(_argsorted(x, axis, largest, True), range(k), axis=axis)


def topk(x: Any, k: int, /, axis: int = -1, largest: bool = True, sorted: bool = True) -> TopK:
    """Top-k: the ``k`` largest (or smallest) elements along ``axis`` and their int64 indices.

    Args:
        x: at least one axis.
        k: the number of elements, at most the size of the axis.
        axis: the axis to select along.
        largest: False for the smallest.
        sorted: they always come in order, the extreme one first; here for PyTorch's signature.

    Raises:
        ValueError: ``k`` is negative or larger than the axis.

    Example:
        >>> import minigrad as mg
        >>> mg.topk(mg.tensor([1.0, 3.0, 2.0]), 2).indices
        tensor([1, 2])
    """
    x, k = as_operand(x), as_integer(k, "k")
    if not x.ndim:
        return TopK(*(reshape(part, (k,) if k != 1 else ()) for part in topk(flatten(x), k, axis, largest)))
    size = x.shape[axis_index(axis, x.ndim)]
    if not 0 <= k <= size:
        raise ValueError(f"k: expected 0 to {size}, the size of axis {axis}, got {k}")
    indices = _top_indices(x, axis, k, largest)
    return TopK(take_along_axis(x, indices, axis=axis), indices)


# Searching


def argwhere(x: Any, /) -> Tensor:
    """Indices of the non-zero elements: one row of int64 indices for each."""
    return Tensor(np.argwhere(as_array(x)))


def flatnonzero(x: Any, /) -> Tensor:
    """Indices (int64) of the non-zero elements of the flattened array."""
    return nonzero(flatten(x))[0]


def searchsorted(x1: Any, x2: Any, /, *, side: Literal["left", "right"] = "left", sorter: Any = None) -> Tensor:
    """Insertion indices (int64) of ``x2``, of any shape, into the sorted one-dimensional ``x1``.

    Args:
        x1: sorted ascending, or by ``sorter``.
        x2: the values to look for.
        side: before (``"left"``) or behind equal elements.
        sorter: indices that sort ``x1``.
    """
    order = None if sorter is None else as_array(sorter)
    ordered = _vector(beside((x2,), x1, "x1"), "x1")
    return Tensor(np.asarray(np.searchsorted(ordered, beside((x1,), x2, "x2"), side, order), np.int64))


def digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    """Bin index (int64) of each element, for monotonic bin edges."""
    edges = _vector(beside((x,), bins, "bins"), "bins")
    return Tensor(np.asarray(np.digitize(beside((bins,), x, "x"), edges, right), np.int64))


def _vector(x: Array, name: str) -> Array:
    if x.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {x.shape}")
    return x


@primitive
def _weights_by_value(weights: Array, x: Array, /, minlength: int) -> Array:
    return np.bincount(x, weights, minlength).astype(weights.dtype, copy=False)


_weights_by_value.vjp(weights=lambda g, x: getitem(g, x))
_weights_by_value.name = "bincount"


def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Counts of 0, 1, 2, … in ``x``, or the sums of their weights.

    Args:
        x: non-negative integers, one-dimensional.
        weights: of the same shape; integers count as float32.
        minlength: the least size of the result.
    """
    if weights is None:
        return Tensor(np.bincount(_vector(as_array(x, name="x"), "x"), minlength=minlength))
    weights = as_operand(weights)
    return _weights_by_value(weights if weights.dtype.kind == "f" else weights.astype(np.float32), x, minlength)


# Sets


class UniqueAll(NamedTuple):
    """Unique values, their first indices, the inverse indices, and their counts."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """Unique values and their counts."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """Unique values and the inverse indices."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Any, /) -> UniqueAll:
    """Unique values, sorted, with first indices, inverse indices and counts; every NaN is distinct."""
    return UniqueAll(*map(Tensor, np.unique_all(as_array(x))))


def unique_counts(x: Any, /) -> UniqueCounts:
    """Unique values, sorted, and their counts; every NaN is distinct."""
    return UniqueCounts(*map(Tensor, np.unique_counts(as_array(x))))


def unique_inverse(x: Any, /) -> UniqueInverse:
    """Unique values, sorted, and the inverse indices of the elements of ``x``; every NaN is distinct."""
    return UniqueInverse(*map(Tensor, np.unique_inverse(as_array(x))))


def unique_values(x: Any, /) -> Tensor:
    """Unique values, sorted; every NaN is distinct."""
    return Tensor(np.unique(as_array(x), equal_nan=False))


def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """Unique values, sorted, or unique slices along ``axis``; NumPy's function, not differentiable.

    Returns:
        The values; in a tuple with the first indices, the inverse indices and the counts as far as they are wanted.
    """
    wanted = {"return_index": return_index, "return_inverse": return_inverse, "return_counts": return_counts}
    x = as_array(x, name="x")
    axis = None if axis is None else axis_index(axis, x.ndim)
    found: Any = np.unique(x, axis=axis, equal_nan=equal_nan, **wanted)  # type: ignore[call-overload]
    return tuple(map(Tensor, found)) if isinstance(found, tuple) else Tensor(found)


def isin(x1: Any, x2: Any, /, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """True for elements of ``x1`` that are (or with ``invert`` are not) among those of ``x2``."""
    found = np.isin(beside((x2,), x1, "x1"), beside((x1,), x2, "x2"), assume_unique=assume_unique, invert=invert)
    return Tensor(np.asarray(found))
