"""Inputs of a transform lifted to fresh leaf nodes, by which it differentiates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

from minigrad.engine.grad_mode import enable_grad, is_grad_enabled
from minigrad.engine.primitive import alias, independent
from minigrad.engine.tensor import Node, Tensor, serials
from minigrad.ops.creation import asarray
from minigrad.trees import flatten, map_leaves


class LiftedInputs:
    """Inputs lifted to leaf nodes, at which the derivative with respect to them stops.

    The node of what already requires a gradient has that as its input, so that transforms nest. The other nodes have
    no input: a graph that comes from such nodes only is not needed outside, whichever transforms made them.
    """

    def __init__(self, trees: Sequence[Any], argument: str) -> None:
        self.outer = is_grad_enabled()
        self.first = next(serials)
        self.before: set[range] = set()  # serials of the older graphs that this transform goes through
        leaves, self.build = flatten(tuple(trees))
        self.tensors = [self._renamed(leaf, argument) for leaf in leaves]
        self.trees = self.build(self.tensors)

    def _renamed(self, leaf: Any, argument: str) -> Tensor:
        tensor = asarray(leaf)
        if tensor.dtype.kind != "f":
            raise TypeError(f"{argument}: expected floating values to differentiate by, got {tensor.dtype}")
        return alias(tensor) if tensor.requires_grad and self.outer else independent(tensor)

    def call(self, function: Callable[..., Any], has_aux: bool) -> tuple[Any, Any]:
        """Call the function with recording on: its value and its auxiliary result."""
        token = _running.set((*_running.get(), self))
        try:
            with enable_grad():
                result = function(*self.trees)
        finally:
            _running.reset(token)
        self.span = range(self.first, next(serials))
        if not has_aux:
            return result, None
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError("has_aux: the function must return a pair (value, auxiliary)")
        return result

    def register_with_running(self) -> None:
        """Register this transform's graph with the running ones: it is part of theirs, not an outer graph."""
        for transform in _running.get():
            transform.before |= {self.span, *self.before}

    def recorded(self, outputs: Iterable[Any], useless: set[int] | None = None) -> bool:
        """True if the outputs may be differentiated outside: they come from a leaf or from an outer graph.

        The search is depth first and ends at the first such node. Nodes are numbered in the order of their creation,
        so those older than these inputs belong to an outer graph, which is not entered: the cost grows with the
        operations of this transform, not with the graph of its inputs.
        """
        stack = [y.edge[0] for y in outputs if isinstance(y, Tensor) and y.requires_grad] if self.outer else []
        seen = set(useless or ())
        while stack:
            vertex = stack.pop()
            if not isinstance(vertex, Node) or self._is_outer(vertex):
                return True
            if id(vertex) not in seen:
                seen.add(id(vertex))
                stack.extend(source[0] for source in vertex.inputs if source is not None)
        if useless is not None:
            useless |= seen
        return False

    def _is_outer(self, node: Node) -> bool:
        return node.serial < self.first and not any(node.serial in span for span in self.before)

    def result(self, tree: Any) -> Any:
        """Result of the transform: each tensor stays recorded only if it may be differentiated outside."""
        useless: set[int] = set()  # nodes known not to come from an outer graph

        def leaving(leaf: Any) -> Any:
            recorded = isinstance(leaf, Tensor) and leaf.requires_grad
            return leaf.detach() if recorded and not self.recorded([leaf], useless) else leaf

        return map_leaves(leaving, tree)


_running: ContextVar[tuple[LiftedInputs, ...]] = ContextVar("running", default=())
