"""Tracing: from the engine's recorded graph to a picture."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.engine.backward import backward_pass
from minigrad.engine.grad_mode import enable_grad
from minigrad.engine.primitive import connected
from minigrad.engine.tensor import Array, Node, Observer, Scope, Shape, Tensor, observers, scope
from minigrad.nn.module import Parameter
from minigrad.viz.picture import Block, Edge, Kind, Picture, Steps, Vertex, common_block, merged, shape_text

# They rearrange elements and compute nothing: an edge whose shape changes shows the same.
PLUMBING = frozenset({"reshape", "permute_dims", "broadcast_to", "astype", "alias"})
SCALAR_TEXT = {"add": "+ {}", "subtract": "− {}", "multiply": "× {}", "divide": "÷ {}", "pow": "^ {}"}

Key = tuple[int, int]  # the identity of a node or leaf, and which of its results
Source = tuple[Vertex | Tensor, Steps]  # the source of a tensor, and its reshapes on the way


def trace(
    outputs: Sequence[tuple[str, Tensor]],
    *,
    inputs: Sequence[tuple[str, Tensor]] = (),
    data: Sequence[tuple[str, Array]] = (),
    root: Scope | None = None,
    keep: Callable[[Node], bool] = lambda node: False,
    opens: Callable[[Node], bool] = lambda node: False,
    backward: bool = False,
) -> Picture:
    """Trace the graph of some tensors.

    Args:
        outputs: names and tensors that require a gradient.
        inputs: names and tensors at which to stop.
        data: names of arrays that were passed in; an operation that reads one shows it under its name.
        root: the call whose box is left out, because the whole picture is inside it.
        keep: the reshapes and the like to draw; the others become part of an edge.
        opens: the fused operations to draw as their decomposition.
        backward: also differentiate the outputs with respect to all leaves, and read what that recorded.
    """
    tracer = _Tracer(inputs, data, root, keep, opens)
    forward = _order((tensor.edge for _, tensor in outputs), tracer.stops)
    for vertex in forward:
        if isinstance(vertex, Node):
            tracer.add(vertex)
    for name, tensor in outputs:
        end = tracer.draw(Vertex("output", name, details=(shape_text(tensor.shape),)))
        tracer.connect(tensor.edge, tensor.shape, end)
    if backward:
        tracer.differentiate([tensor for _, tensor in outputs], forward)
    tracer.finish()
    trained = {id(leaf): leaf.size for leaf in forward if isinstance(leaf, Parameter)}
    return Picture(tracer.vertices, merged(tracer.edges), sum(trained.values()))


def _order(roots: Iterable[tuple[Any, int]], stops: Container[Key]) -> list[Any]:
    """Topological order of the nodes and leaves behind the roots. Not recursive: graphs are deep."""
    order: list[Any] = []
    seen: set[int] = set()
    stack = [(vertex, False) for vertex, index in roots if (id(vertex), index) not in stops]
    while stack:
        vertex, finished = stack.pop()
        if finished:
            order.append(vertex)
        elif id(vertex) not in seen:
            seen.add(id(vertex))
            stack.append((vertex, True))
            if isinstance(vertex, Node):
                sources = [source for source in vertex.inputs if source is not None]
                stack.extend((v, False) for v, i in reversed(sources) if (id(v), i) not in stops)
    return order


class _Tracer:
    """Tracer: the picture under construction, and the vertex of each recorded result."""

    def __init__(
        self,
        inputs: Sequence[tuple[str, Tensor]],
        data: Sequence[tuple[str, Array]],
        root: Scope | None,
        keep: Callable[[Node], bool],
        opens: Callable[[Node], bool],
    ) -> None:
        self.vertices: list[Vertex] = []
        self.edges: list[Edge] = []
        self.data = data
        self.root = root
        self.keep = keep
        self.opens = opens
        self.blocks: dict[int, Block] = {}  # by the identity of the scope: each call of a module has its own
        self.sources: dict[Key, Source] = {}
        self.leaves: dict[Key, Vertex] = {}  # a leaf is drawn once in each box that uses it: (its identity, the box's)
        self.named: dict[str, Vertex] = {}
        self.operations: dict[Vertex, list[str]] = {}  # operations of a derivative's vertex
        self.derivatives: dict[int, Vertex] = {}
        self.differentiated = _Differentiated()
        self.kept_alive: list[Any] = []  # identities are unique only as long as what they belong to lives
        self.stops: dict[Key, Vertex] = {}
        for name, tensor in inputs:
            self.stop(tensor, Vertex("input", name, details=(shape_text(tensor.shape),)))

    def draw(self, vertex: Vertex) -> Vertex:
        self.vertices.append(vertex)
        return vertex

    def stop(self, tensor: Tensor, vertex: Vertex) -> None:
        """Stop at a tensor: its own graph is not traced."""
        source, index = tensor.edge
        if (id(source), index) not in self.stops:
            self.stops[id(source), index] = self.draw(vertex)
            self.sources[id(source), index] = (vertex, ())

    def block(self, scope: Scope | None) -> Block | None:
        """Box of a call, inside those of the calls around it."""
        missing = []
        while scope is not None and scope is not self.root and id(scope) not in self.blocks:
            missing.append(scope)
            scope = scope.parent
        block = None if scope is None or scope is self.root else self.blocks[id(scope)]
        for inner in reversed(missing):
            block = self.blocks[id(inner)] = Block(inner.label, inner.kind, block)
        return block

    def add(self, node: Node) -> None:
        """Add a node of the forward graph."""
        if node.op.decomposition is not None and node.saved is not None and self.opens(node):
            self.add_parts(node)
            return
        block = self.block(node.scope)
        if self.is_edge(node):
            self.pass_through(node, block)
            return
        kind: Kind = "plumbing" if node.op.name in PLUMBING or node.op.name == "getitem" else "op"
        vertex = self.draw(Vertex(kind, node.op.name.strip("_"), block, _scalars(node)))
        vertex.saved_bytes = _saved_bytes(node)
        self.connect_inputs(node, vertex, block)
        for position, (source, shape) in enumerate(zip(node.inputs, node.shapes, strict=True)):
            if source is None and shape:
                name = node.op.inputs[position] if position < len(node.op.inputs) else ""
                value = _saved(node).get(name)
                if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
                    self.datum(name, value, vertex)
                else:
                    self.constant(_constant_name(node, position), shape, vertex)
        for name, value in node.params.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.ndim:
                self.datum(name, value, vertex)

    def add_parts(self, node: Node) -> None:
        """Add the decomposition of a fused operation, between its inputs and its results."""
        results = _composed(node)
        self.kept_alive += results
        for part in _order((result.edge for result in results), {*self.stops, *self.sources}):
            if isinstance(part, Node):
                self.add(part)
        for index, result in enumerate(results):
            self.sources[id(node), index] = self.source(result.edge)

    def is_edge(self, node: Node) -> bool:
        return node.op.name in PLUMBING and not self.keep(node) and node.inputs[0] is not None

    def pass_through(self, node: Node, block: Block | None) -> None:
        assert node.inputs[0] is not None
        source, steps = self.source(node.inputs[0])
        self.sources[id(node), 0] = (source, (*steps, (node.shapes[0], block)))

    def connect_inputs(self, node: Node, vertex: Vertex, block: Block | None) -> None:
        for index in range(len(node.output_shapes)):
            self.sources[id(node), index] = (vertex, ())
        for source, shape in zip(node.inputs, node.shapes, strict=True):
            if source is not None:
                self.connect(source, shape, vertex, block)

    def source(self, graph_edge: tuple[Any, int]) -> Source:
        return self.sources.get((id(graph_edge[0]), graph_edge[1]), (graph_edge[0], ()))

    def connect(self, graph_edge: tuple[Any, int], shape: Shape, head: Vertex, block: Block | None = None) -> None:
        source, steps = self.source(graph_edge)
        tail = self.leaf(source, block) if isinstance(source, Tensor) else source
        self.edges.append(Edge(tail, head, shape, (*steps, (shape, block))))

    def leaf(self, tensor: Tensor, block: Block | None) -> Vertex:
        """Vertex of a leaf: a parameter, in the box of the operations that use it, or a free tensor."""
        trained = isinstance(tensor, Parameter)
        block = block if trained else None
        key = (id(tensor), id(block))
        if key not in self.leaves:
            self.kept_alive.append(tensor)
            kind: Kind = "parameter" if trained else "input"
            text = shape_text(tensor.shape) + (f" · {tensor.size:,}" if trained and tensor.ndim > 1 else "")
            vertex = Vertex(kind, tensor.name or ("parameter" if trained else "tensor"), block, (text,))
            vertex.parameters = {id(tensor): tensor.size} if trained else {}
            vertex.leaf = id(tensor)
            vertex.gradient_norm = None if tensor.grad is None else _norm(tensor.grad)
            self.leaves[key] = self.draw(vertex)
        return self.leaves[key]

    def constant(self, name: str, shape: Shape, head: Vertex) -> None:
        tail = self.draw(Vertex("constant", name, head.block, (shape_text(shape),)))
        self.edges.append(Edge(tail, head, shape, ((shape, head.block),)))

    def datum(self, parameter: str, array: Array, head: Vertex) -> None:
        """Vertex of integer data that an operation reads: token ids, classes."""
        # The engine saves a copy where it cannot detect changes.
        same = (name for name, given in self.data if np.may_share_memory(given, array) or np.array_equal(given, array))
        name = next(same, None)
        if name is None:
            self.constant(parameter, array.shape, head)
            return
        if name not in self.named:
            self.named[name] = self.draw(Vertex("input", name, details=(shape_text(array.shape),)))
        self.edges.append(Edge(self.named[name], head, array.shape, ((array.shape, head.block),)))

    # Derivatives

    def differentiate(self, outputs: Sequence[Tensor], forward: Sequence[Any]) -> None:
        """Backward pass with recording on; each recorded derivative becomes a vertex."""
        # They require a gradient themselves, so that derivatives of linear operations are recorded too.
        cotangents = [Tensor(np.ones(output.shape, output.dtype), requires_grad=True) for output in outputs]
        for cotangent in cotangents:
            self.stop(cotangent, Vertex("input", "∂ output", details=(shape_text(cotangent.shape),), backward=True))
        leaves = [leaf for leaf in forward if isinstance(leaf, Tensor)]
        token = observers.set((*observers.get(), self.differentiated))
        try:
            gradients = backward_pass(outputs, cotangents, leaves, retain_graph=True, create_graph=True)
        finally:
            observers.reset(token)
        self.kept_alive += [*cotangents, *gradients]
        self.differentiated.name_sums((leaf.edge for leaf in leaves), gradients)
        known = {id(vertex) for vertex in forward}
        for node in _order((gradient.edge for gradient in gradients if gradient is not None), self.stops):
            if isinstance(node, Node) and id(node) not in known:
                self.add_derivative(node)
        first_drawn = {identity: vertex for (identity, _), vertex in reversed(self.leaves.items())}
        for leaf, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                for (identity, _), vertex in self.leaves.items():
                    if identity == id(leaf):
                        vertex.gradient_norm = _norm(gradient)
                head = first_drawn[id(leaf)]
                self.connect(gradient.edge, gradient.shape, head, head.block)

    def add_derivative(self, node: Node) -> None:
        scope = _derived_scope(node.scope)
        block = None if scope is None else self.block(scope.parent)
        if self.is_edge(node):
            self.pass_through(node, block)
            return
        assert scope is not None  # the backward pass records only derivatives and sums of them
        vertex = self.derivatives.get(id(scope))
        if vertex is None:
            if scope.label == "sum":
                block = common_block(map(self.block, self.differentiated.users_of(scope)))
            vertex = self.derivatives[id(scope)] = self.draw(_derivative(scope, block))
            if id(scope) in self.differentiated.nodes:
                source, _ = self.source((self.differentiated.nodes[id(scope)], 0))
                vertex.differentiates = source if isinstance(source, Vertex) else None
        if scope.label != "sum":
            self.operations.setdefault(vertex, []).append(node.op.name.strip("_"))
        self.connect_inputs(node, vertex, block)

    def finish(self) -> None:
        """Complete the details that are known only at the end."""
        for vertex, names in self.operations.items():
            vertex.details = (_summary(names),)
        uses = Counter(identity for identity, _ in self.leaves)
        for (identity, _), vertex in self.leaves.items():
            if uses[identity] > 1:
                vertex.details += ("shared",)


class _Differentiated(Observer):
    """Observer of a backward pass: of each derivative its node, of each sum of gradients its tensor and its users."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}  # by the scope's identity; of a sum, the node that made the tensor
        self.sums: dict[int, Key] = {}  # tensors, by the scope's identity
        self.users: dict[Key, list[Scope | None]] = defaultdict(list)  # scopes of the operations that use a tensor
        self.kept_alive: list[Any] = []

    def backward(self, node: Node, cotangents: Sequence[Any], gradients: Sequence[Any]) -> None:
        self.kept_alive += [*cotangents, *gradients]
        self.name_sums(((node, index) for index in range(len(cotangents))), cotangents)
        for source, gradient in zip(node.inputs, gradients, strict=True):
            if source is not None and gradient is not None:
                self.users[id(source[0]), source[1]].append(node.scope)
        for tensors, kind in ((cotangents, ("sum", "add")), (gradients, ("backward", node.op.name))):
            for tensor in tensors:
                scope = _scope_of(tensor)
                if scope is not None and (scope.label, scope.kind) == kind:
                    self.nodes.setdefault(id(scope), node)

    def name_sums(self, edges: Iterable[tuple[Any, int]], gradients: Sequence[Any]) -> None:
        """Note of which tensors some gradients are the sums."""
        for (source, index), gradient in zip(edges, gradients, strict=True):
            scope = _scope_of(gradient)
            if scope is not None and scope.label == "sum":
                self.sums.setdefault(id(scope), (id(source), index))

    def users_of(self, scope: Scope) -> list[Scope | None]:
        """Scopes of the operations whose gradients a sum adds."""
        return self.users[self.sums[id(scope)]] if id(scope) in self.sums else [None]


def _scope_of(gradient: Any) -> Scope | None:
    """Scope in which a recorded gradient was computed."""
    return _derived_scope(gradient.node.scope) if isinstance(gradient, Tensor) and gradient.node else None


def _composed(node: Node) -> list[Tensor]:
    """Decomposition of a fused operation, computed in the scope where it was called."""
    saved = node.recall()
    inputs = [
        saved[name] if source is None else connected(saved[name], source)
        for name, source in zip(node.op.inputs, node.inputs, strict=True)
    ]
    assert node.op.decomposition is not None
    token = scope.set(node.scope)
    try:
        with enable_grad():
            results = node.op.decomposition(*inputs, **node.params)
    finally:
        scope.reset(token)
    return list(results) if isinstance(results, (tuple, list)) else [results]


def _derived_scope(scope: Scope | None) -> Scope | None:
    """Outermost derivative that a node belongs to: those of composite operations nest."""
    found = None
    while scope is not None:
        if scope.backward:
            found = scope
        scope = scope.parent
    return found


def _derivative(scope: Scope, block: Block | None) -> Vertex:
    """Vertex of a derivative, or of the sum over all uses of a tensor, which are added two at a time."""
    if scope.label == "sum":
        return Vertex("op", "add", block, ("gradients of all uses",), backward=True)
    return Vertex("op", f"∂ {scope.kind.strip('_')}", block, backward=True)


def _summary(names: Sequence[str]) -> str:
    """Summary of operations, such as ``2 matmul + sum``."""
    counts = Counter(names)
    if len(counts) > 3:
        return f"{len(names)} operations"
    return " + ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items())


def _scalars(node: Node) -> tuple[str, ...]:
    """Scalar inputs of a node, as far as they were saved for its derivative."""
    saved = _saved(node)
    template = SCALAR_TEXT.get(node.op.name)
    values = [
        saved[name]
        for name, source, shape in zip(node.op.inputs, node.inputs, node.shapes, strict=False)
        if source is None and not shape and saved.get(name) is not None
    ]
    return tuple(template.format(f"{float(value):.4g}") for value in values) if template else ()


def _saved(node: Node) -> dict[str, Any]:
    """Values that an operation saved for its derivative, by name."""
    return node.saved if isinstance(node.saved, dict) else {}


def _saved_bytes(node: Node) -> int:
    """Bytes of the arrays that an operation saved, other than its parameters' own."""
    arrays = {
        id(value): value.nbytes
        for name, value in _saved(node).items()
        if isinstance(value, np.ndarray) and not _is_parameter(node, name)
    }
    return sum(arrays.values())


def _is_parameter(node: Node, name: str) -> bool:
    source = dict(zip(node.op.inputs, node.inputs, strict=False)).get(name)
    return source is not None and isinstance(source[0], Parameter)


def _norm(gradient: Tensor) -> float:
    return float(np.linalg.norm(gradient.data.ravel()))


def _constant_name(node: Node, position: int) -> str:
    dtype = node.dtypes[position]
    return "mask" if dtype is not None and np.dtype(dtype).kind == "b" else "constant"
