"""Pictures of the engine's real graph: :func:`graph` draws what was recorded."""

from minigrad.viz.drawing import graph
from minigrad.viz.render import Graph

__all__ = ["Graph", "graph"]
