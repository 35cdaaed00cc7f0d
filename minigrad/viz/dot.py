"""Styles and DOT output of a picture."""

from __future__ import annotations

import html
import re
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import graphviz

from minigrad.engine.tensor import Shape
from minigrad.viz.picture import Block, Edge, Kind, Picture, Vertex, common_block, shape_text

FONT = "Helvetica"
TITLE_WIDTH = 64  # letters
PAPER = "#FBFAF7"  # its own background, so that it reads on white and on dark pages
TEXT = "#1D2A35"
FAINT = "#5B6873"
FORWARD = "#2B5C8A"
BACKWARD = "#B8431F"
BOXES = ("#F0F3F5", "#E4EAEF")  # nested boxes alternate
BOX_LINE = "#A9B6C1"
SAVED = "#7F8C98"
BARE = {"shape": "plaintext", "width": "0", "height": "0", "margin": "0.06,0.02"}  # text that edges go around
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Style(NamedTuple):
    """Style of a kind of vertex, and its name in the legend."""

    fill: str
    line: str
    legend: str
    shape: str = "box"
    style: str = "rounded,filled"


STYLES: dict[Kind, Style] = {
    "op": Style("#FFFFFF", FORWARD, "operation"),
    "plumbing": Style("#F4F6F8", "#8593A0", "rearrangement"),
    "module": Style("#CFE0F0", FORWARD, "module"),
    "parameter": Style("#FBEBC8", "#A9781C", "parameter", style="filled"),
    "input": Style("#D6EBDD", "#33785A", "data", style="filled"),
    "constant": Style("#EDEAE4", "#7D766A", "constant", style="filled,dashed"),
    "output": Style("#D6EBDD", "#33785A", "", style="filled"),
    "figure": Style(PAPER, BOX_LINE, "", "plain", ""),
}
DERIVATIVE = Style("#FBE3DA", BACKWARD, "derivative")


def to_dot(picture: Picture, title: str, subtitle: str = "") -> graphviz.Digraph:
    """Convert a picture to a DOT document, top to bottom."""
    document = graphviz.Digraph(
        "minigrad",
        graph_attr={
            "bgcolor": PAPER,
            "tooltip": _plain(title),
            "rankdir": "TB",
            "newrank": "true",  # vertices of different boxes can share a row
            "ranksep": "0.14",
            "nodesep": "0.28",
            "pad": "0.3",
            "fontname": FONT,
            "fontcolor": TEXT,
            "labelloc": "t",
            "label": heading(title, subtitle, _legend(picture)),
        },
        node_attr={"fontname": FONT, "fontsize": "11", "fontcolor": TEXT, "height": "0.3", "margin": "0.12,0.05"},
        edge_attr={"fontname": FONT, "fontsize": "9", "fontcolor": FAINT, "color": FORWARD, "arrowsize": "0.6"},
    )
    names = {vertex: f"v{number}" for number, vertex in enumerate(picture.vertices)}
    labels = _labels(picture)
    _draw_boxes(document, picture, names, labels)
    gradients = {(edge.head, edge.tail) for edge in picture.edges if edge.backward}
    for edge in picture.edges:
        if not (edge.saved and (edge.tail, edge.head) in gradients):  # the gradient's arrow stands between them
            _draw_edge(document, edge, names, labels.get(edge))
    for row in picture.rows:
        _align(document, [names[vertex] for vertex in row])
    return document


def _labels(picture: Picture) -> dict[Edge, str]:
    """Names of the labels of edges: a tensor that goes several ways has its shape on the first of them."""
    first: dict[tuple[Vertex, Shape], Edge] = {}
    for edge in picture.edges:
        in_ink = edge.tail.kind in ("parameter", "constant")  # their own lines give the shape
        if edge.shape is not None and not (edge.backward or edge.saved or in_ink):
            first.setdefault((edge.tail, edge.shape), edge)
    return {edge: f"e{number}" for number, edge in enumerate(first.values())}


def _align(document: graphviz.Digraph, names: Sequence[str]) -> None:
    with document.subgraph(graph_attr={"rank": "same"}) as row:
        for left, right in pairwise(names):
            row.edge(left, right, style="invis")


def heading(title: str, subtitle: str, legend: str) -> str:
    """Label above the picture, as an HTML-like table."""
    wrapped = "<BR/>".join(map(escape, textwrap.wrap(title, TITLE_WIDTH) or [""]))
    lines = [f'<FONT POINT-SIZE="18"><B>{wrapped}</B></FONT>']
    if subtitle:
        lines.append(f'<FONT POINT-SIZE="11" COLOR="{FAINT}">{escape(subtitle)}</FONT>')
    if legend:
        lines.append(legend)
    rows = "".join(f"<TR><TD>{line}</TD></TR>" for line in lines)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2">{rows}</TABLE>>'


def _legend(picture: Picture) -> str:
    """Legend: a cell for each kind of vertex that is in the picture, and for each ink."""
    kinds = {vertex.kind for vertex in picture.vertices if not vertex.backward}
    styles = [style for kind, style in STYLES.items() if kind in kinds and style.legend]
    backward = any(vertex.backward for vertex in picture.vertices)
    styles += [DERIVATIVE] if backward else []
    arrows = ((FORWARD, "↓ forward"), (BACKWARD, "↑ backward"), (FAINT, "… saved for backward")) if backward else ()
    cells = [_legend_cell(style) for style in styles]
    cells += [f'<TD><FONT COLOR="{ink}" POINT-SIZE="9">{text}</FONT></TD>' for ink, text in arrows]
    if not cells:
        return ""
    letters = sum(len(style.legend) for style in styles) + sum(len(text) for _, text in arrows)
    # A fixed size, or its cells would stretch below a long title.
    size = f'FIXEDSIZE="TRUE" WIDTH="{round(4.4 * letters) + 12 * len(cells)}" HEIGHT="28"'
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="5" {size}><TR>{"".join(cells)}</TR></TABLE>'


def _legend_cell(style: Style) -> str:
    rounded = ' STYLE="ROUNDED"' if "rounded" in style.style else ""
    text = f'<FONT POINT-SIZE="9">{style.legend}</FONT>'
    return f'<TD BORDER="1"{rounded} BGCOLOR="{style.fill}" COLOR="{style.line}">{text}</TD>'


def _draw_boxes(
    document: graphviz.Digraph, picture: Picture, names: Mapping[Vertex, str], labels: Mapping[Edge, str]
) -> None:
    """Nested clusters. Inner ones are finished first, because a cluster is added when it is complete.

    The title of a cluster is a vertex above all others in it, and so are the labels of edges, because edges go around
    vertices, but through labels.
    """
    clusters: dict[Block | None, graphviz.Digraph] = {None: document}
    for number, block in enumerate(picture.blocks):
        clusters[block] = graphviz.Digraph(f"cluster_{number}")
    for block in picture.blocks:
        cluster = clusters[block]
        fill = BOXES[(len(block.ancestry()) - 1) % 2]
        cluster.attr(label="", style="rounded,filled", fillcolor=fill, color=BOX_LINE, margin="8")
        title = picture.title(block)
        cluster.attr(tooltip=_plain(title))
        cluster.node(_title_name(cluster), _lines(title, ()), tooltip=_plain(title), **BARE)
    shapes = {edge.tail: edge.steps[0][0] if edge.steps else edge.shape for edge in reversed(picture.edges)}
    for vertex in picture.vertices:
        _draw_vertex(clusters[vertex.block], vertex, picture, names, shapes.get(vertex))
    for edge, label in labels.items():
        text = f'<<FONT POINT-SIZE="9" COLOR="{FAINT}">{shape_text(edge.shape or ())}</FONT>>'
        where = clusters[common_block([edge.tail.block, edge.head.block])]
        where.node(label, text, tooltip=_edge_tooltip(edge), **BARE)
    for block, first in _first_vertices(picture).items():
        for vertex in first:
            clusters[block].edge(_title_name(clusters[block]), names[vertex], style="invis", weight="16")
    inside: dict[Block | None, list[Block]] = defaultdict(list)
    for block in picture.blocks:
        inside[block.parent].append(block)
    for around in (*reversed(picture.blocks), None):
        for block in inside[around]:
            if around:
                title, inner = _title_name(clusters[around]), _title_name(clusters[block])
                clusters[around].edge(
                    title, inner, style="invis", weight=str(len(block.ancestry()))
                )  # inner ones tighter
            clusters[around].subgraph(clusters[block])


def _title_name(cluster: graphviz.Digraph) -> str:
    return f"{cluster.name}_title"


def _first_vertices(picture: Picture) -> dict[Block, list[Vertex]]:
    """The vertices directly in each box that nothing in the box is drawn above."""
    below: set[tuple[Block, Vertex]] = set()
    for edge in picture.edges:
        upper, lower = (edge.head, edge.tail) if edge.backward else (edge.tail, edge.head)
        if upper.block and lower.block and not edge.saved:
            below |= {(block, lower) for block in upper.block.ancestry()}
    first: dict[Block, list[Vertex]] = defaultdict(list)
    for vertex in picture.vertices:
        if vertex.block and (vertex.block, vertex) not in below:
            first[vertex.block].append(vertex)
    return first


def _draw_vertex(
    where: graphviz.Digraph, vertex: Vertex, picture: Picture, names: Mapping[Vertex, str], shape: Shape | None
) -> None:
    style = DERIVATIVE if vertex.backward else STYLES[vertex.kind]
    attributes = {"shape": style.shape, "style": style.style, "fillcolor": style.fill, "color": style.line}
    attributes["tooltip"] = _tooltip(vertex, picture, shape)
    if vertex.kind == "module":
        attributes["penwidth"] = "1.6"
    small = vertex.kind in ("plumbing", "constant")
    label = f"<{vertex.html}>" if vertex.html else _lines(picture.title(vertex), vertex.details, 9 if small else 11)
    where.node(names[vertex], label, **attributes)


def _tooltip(vertex: Vertex, picture: Picture, shape: Shape | None) -> str:
    """Text to show where a pointer rests: the operation, its parameters, the shape of its result."""
    parts = [picture.title(vertex), *vertex.details]
    if vertex.kind in ("op", "plumbing", "module") and shape is not None:
        parts.append(f"result {shape_text(shape)}")
    if vertex.saved_bytes:
        parts.append(f"{vertex.saved_bytes:,} bytes saved")
    if vertex.gradient_norm is not None:
        parts.append(f"gradient norm {vertex.gradient_norm:.3g}")
    return _plain(" · ".join(parts))


def _plain(text: str) -> str:
    """Text of an attribute, in which a backslash means itself."""
    return graphviz.escape(CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))


def _lines(title: str, details: tuple[str, ...], size: int = 11) -> str:
    """Lines of a label: a title, and smaller lines below it."""
    first = f'<FONT POINT-SIZE="{size}">{escape(title)}</FONT>'
    below = "".join(f'<BR/><FONT POINT-SIZE="9" COLOR="{FAINT}">{escape(line)}</FONT>' for line in details)
    return f"<{first}{below}>"


def _draw_edge(document: graphviz.Digraph, edge: Edge, names: Mapping[Vertex, str], label: str | None) -> None:
    tail, head, tip = names[edge.tail], names[edge.head], _edge_tooltip(edge)
    if edge.saved:
        look = {"color": SAVED, "style": "dotted", "arrowhead": "none", "minlen": "0", "weight": "0"}
        document.edge(tail, head, tooltip=tip, **look)
    elif edge.backward:
        # Reversed: gradients flow up beside the values that flow down, and have their shapes.
        document.edge(head, tail, tooltip=tip, color=BACKWARD, dir="back", weight="2")
    elif label is None:
        ink = STYLES[edge.tail.kind].line if edge.tail.kind in ("parameter", "constant") else FORWARD
        document.edge(tail, head, tooltip=tip, color=ink)
    else:
        document.edge(tail, label, tooltip=tip, dir="none", weight="4")
        document.edge(label, head, tooltip=tip, weight="4")


def _edge_tooltip(edge: Edge) -> str:
    shape = "" if edge.shape is None else f" · {shape_text(edge.shape)}"
    return _plain(f"{edge.tail.label} → {edge.head.label}{' · saved for backward' if edge.saved else shape}")


def escape(text: str) -> str:
    """Escape text for an HTML-like label; control characters, not allowed in XML, become a replacement character."""
    return html.escape(CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))
