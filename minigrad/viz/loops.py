"""Loops: runs of equal operations in an unrolled graph, each put into a box of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import NamedTuple

from minigrad.viz.picture import Block, Edge, Item, Picture, Vertex, in_order, stem

FEWEST = 3  # equal runs that make a loop
LONGEST = 12  # results of one kind within a loop's body


def box_loops(picture: Picture) -> Picture:
    """Put each run through a loop's body into a box, and return the picture.

    A run includes its derivatives, and the parameters, inputs and constants that it alone reads; those that several
    runs share stay outside.
    """
    graph = _Graph(picture)
    waiting: list[Block | None] = [None, *picture.blocks]
    while waiting:
        waiting += _Level(graph, waiting.pop()).box()
    return picture


class _Graph:
    """Vertices of each box, inner ones included, in topological order, and the numbered edges of each vertex."""

    def __init__(self, picture: Picture) -> None:
        order = in_order(picture)
        self.position = {vertex: position for position, vertex in enumerate(order)}
        self.inside: dict[Block | None, list[Vertex]] = defaultdict(list, {None: order})
        for vertex in order:
            for block in vertex.block.ancestry() if vertex.block else ():
                self.inside[block].append(vertex)
        self.incoming: dict[Vertex, list[tuple[int, Edge]]] = defaultdict(list)
        self.outgoing: dict[Vertex, list[tuple[int, Edge]]] = defaultdict(list)
        for numbered in enumerate(picture.edges):
            if not (numbered[1].backward or numbered[1].saved):
                self.incoming[numbered[1].head].append(numbered)
                self.outgoing[numbered[1].tail].append(numbered)


class _Run(NamedTuple):
    """One run through a loop's body."""

    items: frozenset[Item]
    likeness: Hashable  # equal for runs of equal structure


class _Level:
    """The direct items of one box in the forward pass, and which of them use which."""

    def __init__(self, graph: _Graph, around: Block | None) -> None:
        self.graph = graph
        self.around = around
        depth = len(around.ancestry()) if around else 0
        self.content: dict[Item, list[Vertex]] = defaultdict(list)
        item_of: dict[Vertex, Item] = {}
        for vertex in graph.inside[around]:
            if not vertex.backward:
                path = vertex.block.ancestry() if vertex.block else []
                item = item_of[vertex] = path[depth] if len(path) > depth else vertex
                self.content[item].append(vertex)
        self.derivatives: dict[Item, list[Vertex]] = defaultdict(list)
        for vertex in graph.inside[around]:
            if vertex.block is around and vertex.differentiates in item_of:
                self.derivatives[item_of[vertex.differentiates]].append(vertex)
        self.sources: dict[Item, list[Item]] = {}
        self.readers: dict[Item, set[Vertex]] = {}
        self.likeness: dict[Item, Hashable] = {}
        for item, vertices in self.content.items():
            incoming = sorted(
                (numbered for vertex in vertices for numbered in graph.incoming[vertex]), key=itemgetter(0)
            )
            entering = [edge for _, edge in incoming if item_of.get(edge.tail) is not item]
            self.sources[item] = [item_of[edge.tail] for edge in entering if edge.tail in item_of]
            self.readers[item] = {edge.head for vertex in vertices for _, edge in graph.outgoing[vertex]}
            self.likeness[item] = hash((_likeness(item, vertices), *(edge.shape for edge in entering)))

    def box(self) -> list[Block]:
        """Box all loops, the one with most operations first, of equal ones the last; return the new boxes."""
        boxes: list[Block] = []
        free = {item for item in self.content if not _is_source(item)}
        while loops := sorted(self.loops(free), key=_size):
            for loop in reversed(loops):
                if all(run.items <= free for run in loop):
                    free = free.difference(*(run.items for run in loop))
                    boxes += [self.enclose(items) for items in self.with_sources(loop)]
        return boxes

    def enclose(self, items: Collection[Item]) -> Block:
        """Put items and their derivatives into a new box."""
        box = Block("", "repeated", self.around, loop=True)
        inside = []
        for item in items:
            if isinstance(item, Block):
                item.parent = box
            for vertex in (item, *self.derivatives[item]):
                if isinstance(vertex, Vertex):
                    vertex.block = box
            inside += [*self.content[item], *self.derivatives[item]]
        self.graph.inside[box] = sorted(inside, key=self.graph.position.__getitem__)
        return box

    def loops(self, free: Collection[Item]) -> Iterator[Sequence[_Run]]:
        """The loops that end with each kind of operation."""
        ends: dict[Hashable, list[Item]] = defaultdict(list)
        for item in self.content:  # in topological order
            if item in free:
                ends[self.likeness[item]].append(item)
        for alike in ends.values():
            if len(alike) >= FEWEST:
                yield from self.periodic(alike, self.behind(alike, free))

    def behind(self, ends: Sequence[Item], free: Collection[Item]) -> list[_Run]:
        """Items that each end is computed from, without those of earlier ends."""
        seen: set[Item] = set()
        runs = []
        for end in ends:
            found, stack = set(), [end]
            while stack:
                item = stack.pop()
                if item not in seen and item in free:
                    seen.add(item)
                    found.add(item)
                    stack.extend(self.sources[item])
            runs.append(self.run(found))
        return runs

    def corresponding(self, end: Item, model: Item, run: Collection[Item]) -> set[Item]:
        """Items behind ``end`` in the places of those of another run behind ``model``."""
        found, pairs = {end}, [(end, model)]
        while pairs:
            for mine, other in zip(*(self.sources[item] for item in pairs.pop()), strict=False):
                if other in run and mine not in found and self.likeness[mine] == self.likeness[other]:
                    found.add(mine)
                    pairs.append((mine, other))
        return found

    def run(self, items: set[Item]) -> _Run:
        inside = Counter(
            (
                self.likeness[item],
                *(self.likeness[source] if source in items else None for source in self.sources[item]),
            )
            for item in items
        )
        return _Run(frozenset(items), frozenset(inside.items()))

    def periodic(self, ends: Sequence[Item], behind: Sequence[_Run]) -> Iterator[Sequence[_Run]]:
        """Stretches of equal runs, or of equal groups of ``period`` runs."""
        for period in range(1, min(LONGEST, len(ends) // FEWEST) + 1):
            # Behind the first end is also what came before the loop.
            first = self.run(self.corresponding(ends[0], ends[period], behind[period].items))
            runs = [first, *behind[1:]]
            pairs = zip(runs, runs[period:], strict=False)
            start = 0
            for equal, stretch in groupby(run.likeness == later.likeness for run, later in pairs):
                length = len(list(stretch))
                times = length // period + 1 if equal else 0
                places = range(start, start + times * period, period)
                loop = [self.run({item for run in runs[i : i + period] for item in run.items}) for i in places]
                if times >= FEWEST and not self.is_simple(loop[0]) and self.is_chain(loop):
                    yield loop
                start += length

    def is_chain(self, loop: Sequence[_Run]) -> bool:
        """True if each run computes from the one before."""
        return all(
            any(source in before.items for item in run.items for source in self.sources[item])
            for before, run in pairwise(loop)
        )

    def is_simple(self, run: _Run) -> bool:
        """True for modules or operations of one kind, each on one value: they are folded without a box."""
        alike = len({self.likeness[item] for item in run.items}) == 1
        return alike and all(isinstance(item, Block) or len(self.sources[item]) <= 1 for item in run.items)

    def with_sources(self, loop: Sequence[_Run]) -> list[set[Item]]:
        """Items of each run, with the parameters and the like that it alone reads, if each later run has its like."""
        own = []
        for run in loop:
            inside = {vertex for item in run.items for vertex in self.content[item]}
            sources = {source for item in run.items for source in self.sources[item] if _is_source(source)}
            own.append({source for source in sources if self.readers[source] <= inside})
        common = set.intersection(*({self.likeness[source] for source in sources} for sources in own[1:]))
        return [
            {*run.items, *(source for source in sources if self.likeness[source] in common)}
            for run, sources in zip(loop, own, strict=True)
        ]


def _likeness(item: Item, vertices: Sequence[Vertex]) -> Hashable:
    if isinstance(item, Block):
        inside = Counter((vertex.label, vertex.details) for vertex in vertices)
        return stem(item.label), item.kind, frozenset(inside.items())
    return item.kind if _is_source(item) else item.label, item.details


def _is_source(item: Item) -> bool:
    return item.kind in ("parameter", "input", "constant", "output", "figure")


def _size(loop: Sequence[_Run]) -> tuple[int, int]:
    """Number of operations, and of runs."""
    return sum(len(run.items) for run in loop), len(loop)
