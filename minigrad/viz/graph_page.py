"""Interactive page of a computation graph: modules and repetitions open and close."""

from __future__ import annotations

from typing import Any

from minigrad.viz.html import Page
from minigrad.viz.picture import Block, Item, Picture, shape_text


def graph_page(whole: Picture, drawn: Picture, title: str, subtitle: str) -> Page:
    """Page of a picture.

    Args:
        whole: the picture with everything in it.
        drawn: the same, closed as the page is to be at first.
        title, subtitle: of the page.
    """
    items: list[Item] = [*whole.blocks, *whole.vertices]
    numbers = {item: number for number, item in enumerate(items)}
    leaves: dict[int | None, int] = {}  # numbers of tensors, as their identities differ from run to run
    edges = [
        {
            "tail": numbers[edge.tail],
            "head": numbers[edge.head],
            "shape": None if edge.shape is None else shape_text(edge.shape),
            "backward": edge.backward,
            "saved": edge.saved,
        }
        for edge in whole.edges
    ]
    data = {
        "title": title,
        "subtitle": subtitle,
        "items": [_item(item, numbers, leaves) for item in items],
        "edges": edges,
        "open": [numbers[block] for block in drawn.blocks],
    }
    return Page(title, "minigrad.viz", "graph", data)


def _item(item: Item, numbers: dict[Item, int], leaves: dict[int | None, int]) -> dict[str, Any]:
    parent = item.parent if isinstance(item, Block) else item.block
    common = {"parent": None if parent is None else numbers[parent]}
    if isinstance(item, Block):
        return {**common, "kind": "module", "label": " · ".join(filter(None, (item.label, item.kind)))}
    return {
        **common,
        "kind": item.kind,
        "label": item.label,
        "details": item.details,
        "backward": item.backward,
        "parameters": {leaves.setdefault(key, len(leaves)): size for key, size in item.parameters.items()},
        "saved": item.saved,
        "leaf": leaves.setdefault(item.leaf, len(leaves)),
        "gradient": item.gradient,
    }
