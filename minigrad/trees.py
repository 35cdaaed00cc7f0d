"""Trees (pytrees): tensors, arrays or numbers in nested tuples, lists and dicts; None is a tree without leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Build = Callable[[Sequence[Any]], Any]


class _Leaf:
    def __repr__(self) -> str:
        return "*"


_LEAF = _Leaf()


def flatten(tree: Any) -> tuple[list[Any], Build]:
    """Flatten a tree: its leaves, and the function that rebuilds the tree from others."""
    if isinstance(tree, dict):
        keys = list(tree)
        leaves, build = flatten([tree[key] for key in keys])
        return leaves, lambda new: dict(zip(keys, build(new), strict=True))
    if isinstance(tree, (tuple, list)):
        parts = [flatten(part) for part in tree]
        ends = np.cumsum([len(leaves) for leaves, _ in parts]).tolist()
        make = type(tree)._make if hasattr(tree, "_make") else type(tree)  # named tuples keep their type

        def build_sequence(new: Sequence[Any]) -> Any:
            return make([build(new[end - len(leaves) : end]) for (leaves, build), end in zip(parts, ends, strict=True)])

        return [leaf for leaves, _ in parts for leaf in leaves], build_sequence
    if tree is None:
        return [], lambda new: None
    return [tree], lambda new: new[0]


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    leaves, build = flatten(tree)
    return build([function(leaf) for leaf in leaves])


def structure(tree: Any) -> Any:
    """Tree structure without values, for comparison and messages: lists equal tuples, dicts of any order are equal."""
    if isinstance(tree, dict):
        return {key: structure(part) for key, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        return tuple(structure(part) for part in tree)
    return None if tree is None else _LEAF


def leaves_like(tree: Any, expected: Any, argument: str) -> list[Any]:
    """Leaves of a tree in the order of another tree's, whose structure it must have.

    Raises:
        ValueError: the structures differ.
    """
    if structure(tree) != expected:
        raise ValueError(f"{argument}: expected a tree like {expected}, got {structure(tree)}")
    return list(_leaves_along(tree, expected))


def _leaves_along(tree: Any, expected: Any) -> Iterator[Any]:
    if isinstance(expected, dict):
        for key, part in expected.items():
            yield from _leaves_along(tree[key], part)
    elif isinstance(expected, tuple):
        for branch, part in zip(tree, expected, strict=True):
            yield from _leaves_along(branch, part)
    elif expected is not None:
        yield tree
