"""Einstein summation: any number of operands, contracted two at a time by the matrix product."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.engine.tensor import Shape
from minigrad.ops.diagonals import diagonal
from minigrad.ops.elementwise import astype, multiply
from minigrad.ops.operands import as_operands
from minigrad.ops.products import matmul, vecdot
from minigrad.ops.reductions import sum
from minigrad.ops.shape import permute_dims, reshape, squeeze

__all__ = [
    "einsum",
]

Label = str | int
Labels = tuple[Label, ...]


def einsum(*operands: Any, optimize: bool | str | Sequence[Any] = True) -> Any:
    """Einstein summation: products of elements, summed over the indices that the result does not have.

    Args:
        operands: the subscripts and the arrays they belong to, ``einsum("ij,jk->ik", a, b)``; or every array followed
            by a list of integers, and at last the result's, ``einsum(a, [0, 1], b, [1, 2], [0, 2])``. ``...`` stands
            for axes that are not named and broadcast. An index that one array has twice picks its diagonal. Without
            ``->`` the result has the indices that occur once, in alphabetical order.
        optimize: the contraction order of three arrays or more, as in ``numpy.einsum_path``: True or "greedy",
            "optimal", or a path. False goes from left to right.

    Raises:
        ValueError: the subscripts do not fit the arrays, or the sizes of an index differ.

    Example:
        >>> import minigrad as mg
        >>> mg.einsum("...ij,...kj->...ik", mg.ones((5, 2, 3)), mg.ones((4, 3))).shape
        (5, 2, 4)
    """
    if isinstance(optimize, str) and optimize not in ("greedy", "optimal"):
        raise ValueError(f"optimize: expected a boolean, 'greedy', 'optimal' or a path, got {optimize!r}")
    arrays, labels, result = _parse(operands)
    sizes = _sizes(arrays, labels)
    terms = [_without_repeats(*_without_stretching(x, of, sizes)) for x, of in zip(arrays, labels, strict=True)]
    for group in _path([of for _, of in terms], result, sizes, optimize):
        chosen = [terms.pop(position) for position in sorted(group, reverse=True)][::-1]
        while len(chosen) > 1:
            others = {label for _, of in (*terms, *chosen[2:]) for label in of}
            chosen[:2] = [_contract(*chosen[0], *chosen[1], keep=others.union(result))]
        terms += chosen
    ((total, left),) = (_sum(*term, keep=set(result)) for term in terms)
    return _permuted(total, left, result)


# Reading the subscripts


def _parse(operands: Sequence[Any]) -> tuple[list[Any], list[Labels], Labels]:
    """Parse the arguments: arrays, labels of their axes, labels of the result; axes of an ellipsis are …, -2, -1."""
    if not operands:
        raise ValueError("einsum: expected subscripts and arrays, got nothing")
    if isinstance(operands[0], str):
        text, arrays = operands[0].replace(" ", ""), list(operands[1:])
        inputs, arrow, output = text.partition("->")
        given: list[Any] = [_letters(part) for part in inputs.split(",")]
        wanted: Any = _letters(output) if arrow else None
    else:
        arrays, given = list(operands[:-1:2]), [_numbers(part) for part in operands[1::2]]
        wanted = _numbers(operands[-1]) if len(operands) % 2 else None
    if len(arrays) != len(given):
        raise ValueError(f"einsum: expected as many arrays as subscripts, got {len(arrays)} and {len(given)}")
    arrays = list(as_operands(**{f"operands[{i}]": x for i, x in enumerate(arrays)}))
    labels = [_expand(part, x.ndim) for part, x in zip(given, arrays, strict=True)]
    hidden = tuple(sorted({label for of in labels for label in of if isinstance(label, int) and label < 0}))
    if wanted is None:
        count = Counter(label for of in labels for label in of)
        return arrays, labels, hidden + tuple(sorted(c for c in count if count[c] == 1 and c not in hidden))
    result = tuple(label for part in wanted for label in (hidden if part is ... else (part,)))
    unknown = set(result).difference(*labels)
    if unknown or len(set(result)) < len(result):
        raise ValueError(f"einsum: expected each index of the result once and from an operand, got {wanted}")
    return arrays, labels, result


def _letters(text: str) -> tuple[Any, ...]:
    """Indices of one operand's subscripts."""
    before, dots, after = text.partition("...")
    if not (before + after).isalpha() and before + after:
        raise ValueError(f"einsum: expected letters and at most one '...' as an array's subscripts, got {text!r}")
    return (*before, *((...,) if dots else ()), *after)


def _numbers(part: Sequence[Any]) -> tuple[Any, ...]:
    """Indices of one operand's list."""
    if not isinstance(part, Sequence) or not all(
        label is ... or (isinstance(label, int) and label >= 0) for label in part
    ):
        raise ValueError(f"einsum: expected integers from 0 and '...' as an array's subscripts, got {part}")
    return tuple(part)


def _expand(part: tuple[Any, ...], ndim: int) -> Labels:
    """Expand an ellipsis: one label for each axis."""
    named = len(part) - part.count(...)
    if named > ndim or (named < ndim and ... not in part):
        text = "".join("..." if label is ... else str(label) for label in part)
        raise ValueError(f"einsum: the subscripts {text!r} do not fit an array of {ndim} dimensions")
    hidden = tuple(range(named - ndim, 0))
    return tuple(label for one in part for label in (hidden if one is ... else (one,)))


def _sizes(arrays: Sequence[Any], labels: Sequence[Labels]) -> dict[Label, int]:
    """Size of each index; 1 broadcasts to that of another array."""
    sizes: dict[Label, int] = {}
    for x, of in zip(arrays, labels, strict=True):
        own: dict[Label, int] = {}
        for label, size in zip(of, x.shape, strict=True):
            if own.setdefault(label, size) != size or 1 != size != sizes.get(label, 1) != 1:
                raise ValueError(f"einsum: index {label!r} has the sizes {own[label]}, {size} and {sizes.get(label)}")
            sizes[label] = size if size != 1 else sizes.get(label, 1)
    return sizes


# Contracting


def _without_stretching(x: Any, labels: Labels, sizes: dict[Label, int]) -> tuple[Any, Labels]:
    """Drop the axes of size 1 that broadcast to other arrays'; the products broadcast over missing axes."""
    stretched = [axis for axis, label in enumerate(labels) if x.shape[axis] != sizes[label]]
    rest = tuple(label for axis, label in enumerate(labels) if axis not in stretched)
    return (squeeze(x, tuple(stretched)) if stretched else x), rest


def _without_repeats(x: Any, labels: Labels) -> tuple[Any, Labels]:
    """Take the diagonal of every repeated index."""
    for label in [label for label, count in Counter(labels).items() for _ in range(count - 1)]:
        first = labels.index(label)
        second = labels.index(label, first + 1)
        x = diagonal(x, axis1=first, axis2=second)
        labels = (*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], label)
    return x, labels


def _path(labels: Sequence[Labels], result: Labels, sizes: dict[Label, int], optimize: Any) -> Sequence[Sequence[int]]:
    """Contraction path: the operands of each step, whose result becomes the last operand."""
    if len(labels) < 3 or optimize is False:
        return [range(len(labels))]
    numbers = {label: number for number, label in enumerate(sizes)}
    operands: list[Any] = []
    for of in labels:
        operands += [np.broadcast_to(0, [sizes[label] for label in of]), [numbers[label] for label in of]]
    path, _ = np.einsum_path(*operands, [numbers[label] for label in result], optimize=optimize)
    return path[1:]


def _sum(x: Any, labels: Labels, keep: set[Label]) -> tuple[Any, Labels]:
    """Sum over the indices that are not kept."""
    axes = tuple(axis for axis, label in enumerate(labels) if label not in keep)
    if not axes:
        return x, labels
    # Small integers keep their dtype here, as in NumPy, although they add up as int64.
    total = astype(sum(x, axis=axes), x.dtype, copy=False)
    return total, tuple(label for label in labels if label in keep)


def _contract(a: Any, of_a: Labels, b: Any, of_b: Labels, keep: set[Label]) -> tuple[Any, Labels]:
    """Contract two arrays: their product, summed over the indices that are not kept."""
    a, of_a = _sum(a, of_a, keep.union(of_b))
    b, of_b = _sum(b, of_b, keep.union(of_a))
    batch = tuple(label for label in of_a if label in of_b and label in keep)
    met = tuple(label for label in of_a if label in of_b and label not in keep)
    rows = tuple(label for label in of_a if label not in of_b)
    columns = tuple(label for label in of_b if label not in of_a)
    sizes = dict(zip((*of_a, *of_b), (*a.shape, *b.shape), strict=True))

    lead = tuple(sizes[label] for label in batch)

    def merged(x: Any, of: Labels, *groups: Labels) -> Any:
        x = _permuted(x, of, (*batch, *(label for group in groups for label in group)))
        return _reshaped(x, (*lead, *(math.prod(sizes[label] for label in group) for group in groups)))

    if met and not rows and not columns:
        product = vecdot(merged(a, of_a, met), merged(b, of_b, met))
    elif met:
        product = matmul(merged(a, of_a, rows, met), merged(b, of_b, met, columns))
    else:
        product = multiply(merged(a, of_a, rows, ()), merged(b, of_b, (), columns))
    labels = (*batch, *rows, *columns)
    return _reshaped(product, tuple(sizes[label] for label in labels)), labels


# Most operands are already as they should be, and an operation less is a node less in the graph.


def _permuted(x: Any, labels: Labels, order: Labels) -> Any:
    return x if labels == order else permute_dims(x, tuple(labels.index(label) for label in order))


def _reshaped(x: Any, shape: Shape) -> Any:
    return x if x.shape == shape else reshape(x, shape)
