"""Visualization of the recorded computation graph.

:func:`graph` draws what was recorded. Its stages can also be used on their own: :func:`trace` reads
the graph into a :class:`Picture`, :func:`box_loops` finds loops in it, :func:`close` and :func:`fold` make smaller
pictures of it, :func:`to_dot` writes one, and a :class:`Graph` renders and saves.
"""

from minigrad.viz.dot import escape, to_dot
from minigrad.viz.drawing import graph
from minigrad.viz.fold import close, fold
from minigrad.viz.loops import box_loops
from minigrad.viz.picture import Block, Edge, Picture, Vertex, count_text, merged, shape_text
from minigrad.viz.render import Graph
from minigrad.viz.trace import trace

__all__ = [
    "Block",
    "Edge",
    "Graph",
    "Picture",
    "Vertex",
    "box_loops",
    "close",
    "count_text",
    "escape",
    "fold",
    "graph",
    "merged",
    "shape_text",
    "to_dot",
    "trace",
]
