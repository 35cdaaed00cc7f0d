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
from minigrad.viz.picture import Block, Edge, Item, Kind, Picture, Vertex, shape_text

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
            "rankdir": "TB",
            "ranksep": "0.32",
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
    _draw_boxes(document, picture, names)
    labelled: set[tuple[Vertex, Shape | None]] = set()
    for edge in picture.edges:
        # A tensor that goes several ways has its shape on the first of them.
        _draw_edge(document, edge, names, (edge.tail, edge.shape) not in labelled)
        labelled.add((edge.tail, edge.shape))
    for row in picture.rows:
        _align(document, [names[vertex] for vertex in row])
    return document


def _align(document: graphviz.Digraph, names: Sequence[str]) -> None:
    document.attr(newrank="true")  # otherwise vertices of different boxes cannot share a row
    with document.subgraph(graph_attr={"rank": "same"}) as row:
        for left, right in pairwise(names):
            row.edge(left, right, style="invis")


def heading(title: str, subtitle: str, legend: str) -> str:
    """Label above the picture, as an HTML-like table."""
    wrapped = "<BR/>".join(map(escape, textwrap.wrap(title, TITLE_WIDTH) or [""]))
    lines = [f'<FONT POINT-SIZE="18"><B>{wrapped}</B></FONT>']
    if subtitle:
        lines.append(f'<FONT POINT-SIZE="11" COLOR="{FAINT}">{escape(subtitle)}</FONT>')
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
    letters = sum(len(style.legend) for style in styles) + sum(len(text) for _, text in arrows)
    # A fixed size, or its cells would stretch below a long title.
    size = f'FIXEDSIZE="TRUE" WIDTH="{round(4.4 * letters) + 12 * len(cells)}" HEIGHT="28"'
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="5" {size}><TR>{"".join(cells)}</TR></TABLE>'


def _legend_cell(style: Style) -> str:
    rounded = ' STYLE="ROUNDED"' if "rounded" in style.style else ""
    text = f'<FONT POINT-SIZE="9">{style.legend}</FONT>'
    return f'<TD BORDER="1"{rounded} BGCOLOR="{style.fill}" COLOR="{style.line}">{text}</TD>'


def _draw_boxes(document: graphviz.Digraph, picture: Picture, names: Mapping[Vertex, str]) -> None:
    """Nested clusters. Inner ones are finished first, because a cluster is added when it is complete."""
    clusters: dict[Block, graphviz.Digraph] = {}
    for number, block in enumerate(picture.blocks):
        cluster = graphviz.Digraph(f"cluster_{number}")
        depth = len(block.ancestry()) - 1
        cluster.attr(
            label=_lines(_title(block, picture), ()),
            labelloc=block.title_at[0],
            labeljust=block.title_at[1],
            style="rounded,filled",
            fillcolor=BOXES[depth % 2],
            color=BOX_LINE,
            margin="10",
        )
        clusters[block] = cluster
    for vertex in picture.vertices:
        _draw_vertex(clusters[vertex.block] if vertex.block else document, vertex, picture, names)
    inside: dict[Block | None, list[Block]] = defaultdict(list)
    for block in picture.blocks:
        inside[block.parent].append(block)
    boxes: list[Block | None] = [*reversed(picture.blocks), None]
    for box in boxes:
        for inner in inside[box]:
            (clusters[box] if box else document).subgraph(clusters[inner])


def _draw_vertex(where: graphviz.Digraph, vertex: Vertex, picture: Picture, names: Mapping[Vertex, str]) -> None:
    style = DERIVATIVE if vertex.backward else STYLES[vertex.kind]
    attributes = {"shape": style.shape, "style": style.style, "fillcolor": style.fill, "color": style.line}
    if vertex.kind == "module":
        attributes["penwidth"] = "1.6"
    small = vertex.kind in ("plumbing", "constant")
    label = f"<{vertex.html}>" if vertex.html else _lines(_title(vertex, picture), vertex.details, 9 if small else 11)
    where.node(names[vertex], label, **attributes)


def _title(item: Item, picture: Picture) -> str:
    """Title of a block, such as ``layers.0 … layers.5 · EncoderLayer × 6``."""
    repeat = picture.repeats.get(item)
    name = item.label
    if repeat and repeat.last_label != name:
        name = f"{name} … {repeat.last_label}"
    if isinstance(item, Block):
        name = " · ".join(filter(None, (name, item.kind)))
    elif item.kind == "module" and item.backward:
        name = f"∂ {name}"
    return f"{name} × {repeat.times}" if repeat else name


def _lines(title: str, details: tuple[str, ...], size: int = 11) -> str:
    """Lines of a label: a title, and smaller lines below it."""
    first = f'<FONT POINT-SIZE="{size}">{escape(title)}</FONT>'
    below = "".join(f'<BR/><FONT POINT-SIZE="9" COLOR="{FAINT}">{escape(line)}</FONT>' for line in details)
    return f"<{first}{below}>"


def _draw_edge(document: graphviz.Digraph, edge: Edge, names: Mapping[Vertex, str], labelled: bool) -> None:
    # The spaces keep the text off the line.
    label = f"  {shape_text(edge.shape)} " if labelled and edge.shape is not None else ""
    tail, head = names[edge.tail], names[edge.head]
    if edge.saved:
        document.edge(tail, head, color=SAVED, style="dotted", arrowhead="none", minlen="0", weight="0")
    elif edge.backward:
        # Reversed: gradients flow up beside the values that flow down.
        document.edge(head, tail, label, color=BACKWARD, fontcolor=BACKWARD, dir="back", weight="2")
    elif edge.tail.kind in ("parameter", "constant"):  # their own lines give the shape
        document.edge(tail, head, color=STYLES[edge.tail.kind].line)
    else:
        document.edge(tail, head, label, weight="4" if label else "1")


def escape(text: str) -> str:
    """Escape text for an HTML-like label; control characters, not allowed in XML, become a replacement character."""
    return html.escape(re.sub(r"[\x00-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text))
