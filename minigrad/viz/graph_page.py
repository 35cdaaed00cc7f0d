"""Interactive page of a computation graph: modules and repetitions open and close."""

from __future__ import annotations

import math
from typing import Any

from minigrad.viz.fold import fold
from minigrad.viz.html import Page
from minigrad.viz.picture import Block, Item, Picture, shape_text


def graph_page(whole: Picture, drawn: Picture, title: str, subtitle: str) -> Page:
    """Page of a picture.

    Args:
        whole: the picture with everything in it.
        drawn: the same, closed as the page is to be at first.
        title, subtitle: of the page.
    """
    folded = fold(whole)
    items: list[Item] = [*whole.blocks, *whole.vertices]
    numbers = {item: number for number, item in enumerate(items)}
    repeats = {item: len(items) + number for number, repeat in enumerate(folded.repeats.values()) for item in repeat}
    leaves: dict[int | None, int] = {}  # numbers of tensors, as their identities differ from run to run

    def parent(item: Item) -> int | None:
        around = item.parent if isinstance(item, Block) else item.block
        return None if around is None else numbers[around]

    records = [{"parent": repeats.get(item, parent(item)), **_record(item, leaves)} for item in items]
    records += [{"parent": parent(first), "kind": "repeat", "label": folded.title(first)} for first in folded.repeats]
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
        "items": records,
        "edges": edges,
        "open": [numbers[block] for block in drawn.blocks],
    }
    return Page(title, "minigrad.viz", "graph", data)


def _record(item: Item, leaves: dict[int | None, int]) -> dict[str, Any]:
    if isinstance(item, Block):
        return {"kind": "module", "label": " · ".join(filter(None, (item.label, item.kind)))}
    return {
        "kind": item.kind,
        "label": item.label,
        "details": item.details,
        "backward": item.backward,
        "parameters": {leaves.setdefault(key, len(leaves)): size for key, size in item.parameters.items()},
        "saved": item.saved_bytes,
        "leaf": leaves.setdefault(item.leaf, len(leaves)),
        "gradient": _number(item.gradient_norm),
    }


def _number(value: float | None) -> float | str | None:
    """Number for JSON, which has no others than finite ones; JavaScript computes with their names."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity"
