"""Embedding: rows of a table, looked up by index."""

from __future__ import annotations

from typing import Any

from minigrad.engine.tensor import Array, Tensor
from minigrad.ops.arguments import as_integer
from minigrad.ops.elementwise import where
from minigrad.ops.indexing import add_at, own_or_shared_indices, pick
from minigrad.ops.operands import as_operands
from minigrad.ops.primitive import primitive
from minigrad.ops.shape import expand_dims

__all__ = [
    "embedding",
]


@primitive(batching=own_or_shared_indices)
def _look_up(table: Array, indices: Array, /, axis: int = 0, batch: int = 0) -> Array:
    count = table.shape[batch + axis]
    if indices.dtype.kind not in "iu":
        raise TypeError(f"input: expected integers, got {indices.dtype}")
    if indices.size and not (indices.min() >= 0 and indices.max() < count):
        raise IndexError(f"input: expected 0 to {count - 1}, got {indices.min()} to {indices.max()}")
    return pick(table, indices, axis, batch)


_look_up.name = "embedding"
_look_up.vjp(table=lambda g, indices, table_shape: add_at(g, indices, 0, table_shape[0]))


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """Embedding look-up: the rows of ``weight`` (count, D) at integer ``input`` (…), as (…, D).

    Args:
        input: integers in [0, count).
        weight: the table.
        padding_idx: a row that gets no gradient; negative counts from the end.

    Raises:
        TypeError: ``input`` is not made of integers.
        IndexError: an index or ``padding_idx`` is outside the table.
        ValueError: ``weight`` is not a matrix.

    Example:
        >>> embedding([2, 0], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        tensor([[5., 6.],
                [1., 2.]])
    """
    if not (isinstance(input, Tensor) and isinstance(weight, Tensor)):
        input, weight = as_operands(input=input, weight=weight)
    if weight.ndim != 2:
        raise ValueError(f"weight: expected shape (count, D), got {weight.shape}")
    rows = _look_up(weight, input)
    if padding_idx is None:
        return rows
    padding_idx = as_integer(padding_idx, "padding_idx")
    if not -len(weight) <= padding_idx < len(weight):
        raise IndexError(f"padding_idx: expected a row of {len(weight)}, got {padding_idx}")
    return where(expand_dims(input == padding_idx % len(weight), -1), rows.detach(), rows)
