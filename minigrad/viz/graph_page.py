"""Interactive page of a computation graph: modules and repetitions open and close."""

from __future__ import annotations

from typing import Any

from minigrad.viz.html import Page
from minigrad.viz.picture import Block, Item, Picture, Vertex, shape_text


def graph_page(whole: Picture, drawn: Picture, title: str, subtitle: str) -> Page:
    """Page of a picture.

    Args:
        whole: the picture with everything in it.
        drawn: the same, closed as the page is to be at first.
        title, subtitle: of the page.
    """
    items: list[Item] = [*whole.blocks, *whole.vertices]
    numbers = {item: number for number, item in enumerate(items)}
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
        "items": [_item(item, numbers) for item in items],
        "edges": edges,
        "open": [numbers[block] for block in drawn.blocks],
    }
    return Page(title, "minigrad.viz", "graph", data)


def _item(item: Item, numbers: dict[Item, int]) -> dict[str, Any]:
    if isinstance(item, Block):
        parent, kind, details, name = item.parent, "module", (), " · ".join(filter(None, (item.label, item.kind)))
    else:
        parent, kind, details, name = item.block, item.kind, item.details, item.label
    vertex = item if isinstance(item, Vertex) else None
    return {
        "parent": None if parent is None else numbers[parent],
        "kind": kind,
        "label": name,
        "details": list(details),
        "backward": vertex is not None and vertex.backward,
        "parameters": {} if vertex is None else {str(key): size for key, size in vertex.parameters.items()},
        "saved": 0 if vertex is None else vertex.saved,
        "leaf": None if vertex is None else vertex.leaf,
        "gradient": None if vertex is None else vertex.gradient,
    }
