"""Folding of pictures: modules closed below a depth, and repeated modules drawn once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import replace

from minigrad.engine.tensor import Shape
from minigrad.viz.picture import Block, Edge, Item, Picture, Repeat, Vertex, count_text, in_order, merged, stem


def close(picture: Picture, closed: Callable[[Block], bool]) -> Picture:
    """Close boxes: each outermost module for which ``closed`` holds becomes one vertex, and its derivative another."""
    outermost: dict[Block | None, Block | None] = {None: None}
    for block in picture.blocks:  # outer ones first
        outermost[block] = outermost[block.parent] or (block if not block.loop and closed(block) else None)
    stand_in: dict[Vertex, Vertex] = {}
    modules: dict[tuple[Block, bool], Vertex] = {}
    for vertex in picture.vertices:
        module = outermost[vertex.block]
        if module is None:
            stand_in[vertex] = vertex
            continue
        key = (module, vertex.backward)
        if key not in modules:
            modules[key] = Vertex("module", module.label or module.kind, module.parent, backward=vertex.backward)
            modules[key].module = module
        stand_in[vertex] = modules[key]
        modules[key].parameters = {**modules[key].parameters, **vertex.parameters}
        modules[key].saved_bytes += vertex.saved_bytes
    for (module, backward), vertex in modules.items():
        count = sum(vertex.parameters.values())
        vertex.details = ("derivative" if backward else module.kind, *([count_text(count)] if count else []))
    edges = []
    for edge in picture.edges:
        tail, head = stand_in[edge.tail], stand_in[edge.head]
        inside = tail.module is not None and tail.module is head.module and edge.backward
        if not inside:
            shape = edge.shape if head.module is None else _entering(edge, head.module)
            edges.append(replace(edge, tail=tail, head=head, shape=shape))
    return Picture(list(dict.fromkeys(stand_in.values())), merged(edges), picture.parameters)


def _entering(edge: Edge, module: Block) -> Shape | None:
    """Shape of a tensor on entry to a module that may reshape it inside."""
    return next((shape for shape, block in edge.steps if block and module in block.ancestry()), edge.shape)


def level(block: Block) -> int:
    """Nesting level of a module's box: 1 for the outermost; loops have none of their own."""
    return sum(not around.loop for around in block.ancestry())


def fold(picture: Picture) -> Picture:
    """Fold siblings of the same structure into one: a chain of modules, or parallel modules and operations.

    Items are alike when their operations, shapes, inner names and inner connections are. The edges into and out of all
    of them go into and out of the one that is drawn.
    """
    return _Folder(picture).fold()


class _Folder:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.stand_in: dict[Vertex, Vertex] = {}  # for each vertex folded away, the one that is drawn
        self.left_out: set[Edge] = set()
        self.repeats: dict[Item, Repeat] = {}
        self.content: dict[Item, list[Vertex]] = defaultdict(list)
        self.children: dict[Block | None, dict[Item, None]] = defaultdict(dict)  # direct items of a box
        self.incoming: dict[Vertex, list[Edge]] = defaultdict(list)
        self.outgoing: dict[Vertex, list[Edge]] = defaultdict(list)
        order = in_order(picture)
        self.position = {vertex: position for position, vertex in enumerate(order)}
        for vertex in order:
            item: Item = vertex
            self.content[vertex].append(vertex)
            for block in reversed(vertex.block.ancestry() if vertex.block else []):
                self.children[block][item] = None
                self.content[block].append(vertex)
                item = block
            self.children[None][item] = None
        for edge in picture.edges:
            self.incoming[edge.head].append(edge)
            self.outgoing[edge.tail].append(edge)

    def fold(self) -> Picture:
        boxes: list[Block | None] = [None]
        while boxes:
            left = self.fold_siblings(list(self.children[boxes.pop()]))
            boxes += [item for item in left if isinstance(item, Block)]
        edges = [
            replace(edge, tail=self.drawn(edge.tail), head=self.drawn(edge.head))
            for edge in self.picture.edges
            if edge not in self.left_out
        ]
        vertices = [vertex for vertex in self.picture.vertices if vertex not in self.stand_in]
        return Picture(vertices, merged(edges), self.picture.parameters, self.repeats)

    def drawn(self, vertex: Vertex) -> Vertex:
        while vertex in self.stand_in:  # folded at an outer level, then at an inner one
            vertex = self.stand_in[vertex]
        return vertex

    def fold_siblings(self, items: list[Item]) -> list[Item]:
        """Fold the direct items of one box; return the remaining ones."""
        alike: dict[Hashable, list[Item]] = defaultdict(list)
        for item in items:
            alike[self.likeness(item)].append(item)
        for group in alike.values():
            # Operations in a row are one "× N" only if nothing else flows in between them.
            if _is_module(group[0]) or len(self.incoming[self.content[group[0]][0]]) == 1:
                for chain in self.chains(group):
                    self.keep_first(chain)
        left = self.left_of(items)
        side_by_side: dict[Hashable, list[Item]] = defaultdict(list)
        for item in left:
            if item not in self.repeats and (_is_module(item) or _is_operation(item)):
                side_by_side[self.likeness(item), self.neighbours(item)].append(item)
        for group in side_by_side.values():
            self.keep_first(group)
        return self.left_of(left)

    def left_of(self, items: list[Item]) -> list[Item]:
        return [item for item in items if self.content[item][0] not in self.stand_in]

    def likeness(self, item: Item) -> Hashable:
        """Structure key, equal for items of the same structure; numbered names (layers.0, layers.1) are equal."""
        return stem(item.label), item.kind, tuple(sorted(self.signatures(item).values()))

    def signatures(self, item: Item) -> dict[Vertex, int]:
        """Signature of each vertex inside: a number for its computation from the item's inputs."""
        found: dict[Vertex, int] = {}
        depth = len(item.ancestry()) if isinstance(item, Block) else 0
        named = stem if isinstance(item, Block) and item.loop else str  # the runs of a loop use layers.0, layers.1, …
        for vertex in self.content[item]:
            outside = vertex is item
            path = () if outside or vertex.block is None else vertex.block.ancestry()[depth:]
            names = tuple((named(block.label), block.kind) for block in path)
            computed_from = [edge for edge in self.incoming[vertex] if vertex.backward or not edge.backward]
            sources = tuple((edge.shape, found.get(edge.tail)) for edge in computed_from)  # no gradients that return
            name = "" if outside else named(vertex.label)
            found[vertex] = hash((names, name, vertex.details, vertex.backward, sources))
        return found

    def chains(self, group: list[Item]) -> list[list[Item]]:
        """Chains in which each item uses a result of the one before."""
        runs: list[list[Item]] = []
        for item in sorted(group, key=self.finished):
            inside = set(self.content[item])
            before = self.content[runs[-1][-1]] if runs else []
            if any(edge.head in inside for vertex in before for edge in self.outgoing[vertex]):
                runs[-1].append(item)
            else:
                runs.append([item])
        return runs

    def finished(self, item: Item) -> int:
        """Position at which an item's result is complete: that of its forward pass, if it has one."""
        forward = [vertex for vertex in self.content[item] if not vertex.backward]
        return self.position[(forward or self.content[item])[-1]]

    def neighbours(self, item: Item) -> Hashable:
        inside = self.content[item]
        tails = frozenset(self.drawn(edge.tail) for vertex in inside for edge in self.incoming[vertex])
        heads = frozenset(self.drawn(edge.head) for vertex in inside for edge in self.outgoing[vertex])
        return tails.difference(inside), heads.difference(inside)

    def keep_first(self, items: list[Item]) -> None:
        """Keep only the first of several equal items."""
        if len(items) == 1:
            return
        first = items[0]
        owner = {vertex: item for item in items for vertex in self.content[item]}
        for vertex, item in owner.items():
            for edge in self.outgoing[vertex]:
                inside_first = item is first and owner.get(edge.head) is first
                if edge.head in owner and not inside_first:  # between two of them, or inside one that is not drawn
                    self.left_out.add(edge)
        drawn = self.in_signature_order(first)
        for item in items[1:]:
            self.stand_in |= dict(zip(self.in_signature_order(item), drawn, strict=True))
        self.repeats[first] = items

    def in_signature_order(self, item: Item) -> list[Vertex]:
        signatures = self.signatures(item)
        return sorted(self.content[item], key=signatures.__getitem__)


def _is_module(item: Item) -> bool:
    return isinstance(item, Block) or item.kind == "module"


def _is_operation(item: Item) -> bool:
    return item.kind in ("op", "plumbing", "constant")
