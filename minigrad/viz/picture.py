"""Picture of a graph, without styles: vertices, edges, and nested boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from minigrad.engine.tensor import Shape

Kind = Literal["op", "plumbing", "module", "parameter", "input", "constant", "output", "figure"]


@dataclass(eq=False)
class Block:
    """Block: the box of one module call, or of one run through a loop's body."""

    label: str  # the module's attribute name in its parent
    kind: str  # its class
    parent: Block | None = None
    loop: bool = False  # one run through a loop, which is no module

    def ancestry(self) -> list[Block]:
        """Enclosing boxes, from the outermost to this one."""
        path: list[Block] = []
        block: Block | None = self
        while block is not None:
            path.append(block)
            block = block.parent
        return path[::-1]


@dataclass(eq=False)
class Vertex:
    """Vertex: an operation, a closed module, a parameter, or data."""

    kind: Kind
    label: str
    block: Block | None = None  # the innermost box around it
    details: tuple[str, ...] = ()  # further lines
    backward: bool = False  # part of a derivative
    differentiates: Vertex | None = None  # of a derivative: the operation
    parameters: Mapping[int, int] = field(default_factory=dict)  # parameters: identity to number of elements
    module: Block | None = None  # the closed module
    saved_bytes: int = 0  # of what an operation keeps for its derivative, beside parameters
    gradient_norm: float | None = None  # of a leaf, after a backward pass
    html: str = ""  # the inside of an HTML-like label, for figures
    leaf: int | None = None  # identity of the tensor of a parameter or input


Steps = tuple[tuple[Shape, Block | None], ...]  # a tensor's shapes on its way, each with the box where it is used next


@dataclass(frozen=True)
class Edge:
    """Edge: a tensor, from the vertex that computes it to one that uses it."""

    tail: Vertex
    head: Vertex
    shape: Shape | None  # as it arrives
    steps: Steps = field(default=(), compare=False)  # through reshapes and the like

    @property
    def backward(self) -> bool:
        """True if a gradient flows along it."""
        return self.tail.backward

    @property
    def saved(self) -> bool:
        """True if it brings a value of the forward pass to a derivative."""
        return self.head.backward and not self.tail.backward


Item = Block | Vertex
Repeat = Sequence[Item]  # equal blocks or vertices, of which the first one is drawn


@dataclass(frozen=True)
class Picture:
    """Picture: vertices, edges, and the repetitions of vertices and blocks."""

    vertices: list[Vertex]
    edges: list[Edge]
    parameters: int = 0  # number of parameters, each counted once
    repeats: Mapping[Item, Repeat] = field(default_factory=dict)
    rows: Sequence[Sequence[Vertex]] = ()  # vertices to draw side by side, from left to right

    def title(self, item: Item) -> str:
        """Title of a block or vertex, such as ``layers.0 … layers.5 · EncoderLayer × 6``."""
        repeat = self.repeats.get(item)
        name = item.label
        if repeat and repeat[-1].label != name:
            name = f"{name} … {repeat[-1].label}"
        if isinstance(item, Block):
            name = " · ".join(filter(None, (name, item.kind)))
        elif item.kind == "module" and item.backward:
            name = f"∂ {name}"
        return f"{name} × {len(repeat or [item])}" if repeat or (isinstance(item, Block) and item.loop) else name

    @property
    def blocks(self) -> list[Block]:
        """All boxes, outer ones first."""
        found = (block for vertex in self.vertices if vertex.block for block in vertex.block.ancestry())
        return list(dict.fromkeys(found))


def stem(label: str) -> str:
    """Label without its number: ``layers`` for ``layers.0`` and ``layers.1``."""
    return re.sub(r"\.?\d+$", "", label)


def shape_text(shape: Shape) -> str:
    """Text of a shape, such as ``2×8×128``."""
    return "×".join(map(str, shape)) if shape else "scalar"


def count_text(count: int) -> str:
    """Text of a parameter count, such as ``66,048 parameters``."""
    return f"{count:,} parameter{'' if count == 1 else 's'}"


def merged(edges: Iterable[Edge]) -> list[Edge]:
    """Merge edges: no loops, and one edge for equal ends and shape; saved values have no shape of their own."""
    plain = (replace(edge, shape=None) if edge.saved else edge for edge in edges if edge.tail is not edge.head)
    return list(dict.fromkeys(plain))


def common_block(blocks: Iterable[Block | None]) -> Block | None:
    """Innermost box around all of them."""
    paths = [block.ancestry() if block else [] for block in blocks]
    shared = None
    for level in zip(*paths, strict=False):
        if any(block is not level[0] for block in level):
            break
        shared = level[0]
    return shared


def in_order(picture: Picture) -> list[Vertex]:
    """Topological order of the vertices."""
    before: dict[Vertex, list[Vertex]] = {vertex: [] for vertex in picture.vertices}
    for edge in picture.edges:
        if edge.head.kind not in ("parameter", "input"):  # gradients return there
            before[edge.head].append(edge.tail)
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError:  # a module that was left and entered again, drawn closed
        return picture.vertices
