"""Trees: flattened, rebuilt, and compared."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from minigrad.trees import flatten, leaves_like, map_leaves, structure


class _Pair(NamedTuple):
    weight: Any
    bias: Any


TREES = [
    1,
    None,
    (),
    [],
    {},
    (1, [2, None], {"b": 3, "a": (4,)}),
    _Pair(1, {"x": _Pair(2, 3)}),
    {1: "one", "two": 2, None: 3},
]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_a_tree_is_put_together_as_it_was(tree: Any) -> None:
    leaves, build = flatten(tree)
    assert repr(build(leaves)) == repr(tree)  # types and the order of keys included
    assert leaves_like(tree, structure(tree), "tree") == leaves


def test_map_leaves_keeps_types_and_order() -> None:
    mapped = map_leaves(lambda x: x + 1, {"b": _Pair(1, [2]), "a": None})
    assert mapped == {"b": _Pair(2, [3]), "a": None}
    assert isinstance(mapped["b"], _Pair) and isinstance(mapped["b"].bias, list) and list(mapped) == ["b", "a"]


def test_structures_are_compared_without_values_and_without_the_order_of_keys() -> None:
    assert structure({"a": 1, "b": (2, None)}) == structure({"b": [5, None], "a": 7})
    assert structure(_Pair(1, 2)) == structure((3, 4))
    for other in ({"a": 1}, {"a": 1, "c": (2, None)}, {"a": 1, "b": (2, 3)}, {"a": 1, "b": (2,)}, {"a": (), "b": 1}):
        assert structure(other) != structure({"a": 1, "b": (2, None)})
    assert repr(structure({"a": 1, "b": [2, None]})) == "{'a': *, 'b': (*, None)}"


def test_leaves_come_in_the_order_of_the_other_tree() -> None:
    expected = structure({2: 0, "one": {"y": 0, "x": 0}})  # keys that cannot be sorted
    assert leaves_like({"one": {"x": "x", "y": "y"}, 2: "two"}, expected, "tree") == ["two", "y", "x"]


def test_another_structure_is_an_error_that_names_the_argument_and_both() -> None:
    with pytest.raises(ValueError, match=r"tangents: expected a tree like \{'a': \*\}, got \(\*, None\)"):
        leaves_like([1, None], structure({"a": 1}), "tangents")
