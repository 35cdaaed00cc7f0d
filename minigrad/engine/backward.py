"""Backward pass: cotangents go from results to leaves, each node's derivative taken once.

The vertices are found with a stack of its own, so that depth costs memory, not recursion, and visited from the youngest
to the oldest, which is a topological order. But for that sort, of what is mostly in order, time is linear in the number
of edges.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from operator import attrgetter
from typing import Any

import numpy as np

from minigrad.engine.grad_mode import Mode, derivative_on_arrays, enable_grad, recording
from minigrad.engine.primitive import Primitive, add, alias, cast, fitted
from minigrad.engine.tensor import Edge, Hook, Node, Scope, Tensor, Tracer, observers, scope

Key = tuple[int, int]  # of a vertex's result: the vertex's identity, and which result


class _Sum:
    """Running sum of what the uses of one tensor contribute to its gradient."""

    __slots__ = ("owned", "scope", "value")

    def __init__(self, value: Any, owned: bool) -> None:
        self.value = value
        self.owned = owned  # nobody else can see this array, so it may be changed in place
        self.scope: Scope | None = None  # in common to what a recorded sum is made of

    def add(self, value: Any, owned: bool) -> None:
        if self.owned and isinstance(self.value, np.ndarray) and isinstance(value, (np.ndarray, np.generic)):
            np.add(self.value, value, out=self.value)
            return
        if isinstance(value, Tensor) or isinstance(self.value, Tensor):
            self.scope = self.scope or Scope("sum", "add", scope.get(), backward=True)
            with _within(self.scope):
                self.value = add(self.value, value)
        elif isinstance(self.value, Tracer) or isinstance(value, Tracer):
            with derivative_on_arrays(False):
                self.value = add(_as_tensor(self.value), _as_tensor(value)).data
        else:
            self.value = self.value + value
        self.owned = True


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value if isinstance(value, Tracer) else np.asarray(value))


def vertices(roots: Iterable[Any], ends: Iterable[Any] = ()) -> list[Any]:
    """Every vertex between the roots and the ends, each after all the vertices it was computed from.

    A leaf stands right before the first node that uses it: backwards, its gradient is complete after that node, and
    does not wait for the rest of the graph. Nodes older than all the ends cannot come from them: they are left out,
    with all that lies behind them.
    """
    order, roots = list(ends), list(roots)
    oldest = min([end.serial if isinstance(end, Node) else -1 for end in order], default=-1)
    seen, stack, nodes = set(map(id, order)), roots[:], []
    while stack:
        vertex = stack.pop()
        if isinstance(vertex, Node) and id(vertex) not in seen and vertex.serial >= oldest:
            seen.add(id(vertex))
            nodes.append(vertex)
            stack += [source[0] for source in vertex.inputs if source is not None]
    nodes.sort(key=attrgetter("serial"))  # a node is made after those that it was computed from
    for node in nodes:
        for vertex, _ in filter(None, node.inputs):
            if id(vertex) not in seen and not isinstance(vertex, Node):
                seen.add(id(vertex))
                order.append(vertex)
        order.append(node)
    return order + [root for root in roots if id(root) not in seen and not isinstance(root, Node)]


def backward_pass(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    targets: Sequence[Tensor] | None = None,
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    cut: bool = False,
) -> list[Tensor | None]:
    """Propagate cotangents from outputs to leaves, or to the targets only.

    Args:
        outputs: tensors that require a gradient.
        cotangents: one for each output, of its shape and dtype.
        targets: where gradients are wanted, leaves or not. None: add into ``grad`` of every leaf.
        retain_graph: keep what the derivatives need, for another pass.
        create_graph: record the derivatives too, so that they can be differentiated.
        cut: look no further than the targets, none of which may depend on another.

    Returns:
        The gradient of each target, None for a target that the outputs do not depend on.
    """
    wanted = None if targets is None else [target.edge for target in targets]
    order = vertices([output.node or output for output in outputs], [end for end, _ in wanted or ()] if cut else ())
    needed = None if wanted is None else _needed(order, wanted)
    wanted_keys = set() if wanted is None else {(id(vertex), index) for vertex, index in wanted}
    sums: dict[Key, _Sum] = {}
    found: dict[Key, _Sum] = {}
    given: set[int] = set()  # arrays that somebody else holds

    # The slopes of branches not taken may be infinite: no news to the user, who saw the forward pass's warnings.
    with Mode(recording, create_graph), derivative_on_arrays(not create_graph), np.errstate(all="ignore"):
        given.update([id(cotangent.data) for cotangent in cotangents])
        values = [cotangent if create_graph else cotangent.data for cotangent in cotangents]
        _contribute(sums, [output.edge for output in outputs], values, values)
        for vertex in reversed(order):
            if needed is not None and id(vertex) not in needed:
                continue
            node = vertex if isinstance(vertex, Node) else None
            totals: list[_Sum | None] = []
            for index in range(1 if node is None else len(node.output_shapes)):
                total = sums.pop((id(vertex), index), None)
                totals.append(total)
                if total is not None and wanted_keys and (id(vertex), index) in wanted_keys:
                    found[id(vertex), index] = total
            if not any(totals):
                continue
            hooks = vertex._hooks and {0: vertex._hooks[0]} if node is None else node.hooks
            if hooks:
                _run_hooks(hooks, totals)
            if node is None:
                if wanted is None and totals[0] is not None:
                    _accumulate(vertex, totals[0], given)
                continue
            if node.retained:
                _retain(node.retained, totals, given)
            needs = []
            for source in node.inputs:
                needs.append(source is not None and (needed is None or id(source[0]) in needed))
            if True in needs:
                _differentiate(node, totals, tuple(needs), sums)
                if not retain_graph:
                    node.saved, node.storages = None, ()
    return [] if wanted is None else [_as_gradient(found.get((id(end), index)), given) for end, index in wanted]


def _needed(order: list[Any], wanted: list[Edge]) -> set[int]:
    """The vertices on a path to a target."""
    needed = {id(vertex) for vertex, _ in wanted}
    for vertex in order:
        if isinstance(vertex, Node) and any(s is not None and id(s[0]) in needed for s in vertex.inputs):
            needed.add(id(vertex))
    return needed


def _contribute(sums: dict[Key, _Sum], edges: Sequence[Any], gradients: Sequence[Any], held: Sequence[Any]) -> None:
    """Add gradients to the sums of the vertices that they belong to; others hold the values in ``held``."""
    known = list(map(id, held)) + list(map(id, gradients))
    # Of a few, counting through is faster; of many, it would take quadratic time.
    times = known.count if len(known) < 16 else Counter(known).__getitem__
    for edge, gradient in zip(edges, gradients, strict=True):
        if edge is not None and gradient is not None:
            # A fresh array, no view and not handed on from above or to a sibling, belongs to the pass.
            owned = type(gradient) is np.ndarray and gradient.base is None and times(id(gradient)) == 1
            key = (id(edge[0]), edge[1])
            total = sums.get(key)
            if total is None:
                sums[key] = _Sum(gradient, owned)
            else:
                total.add(gradient, owned)


def _differentiate(node: Node, totals: list[_Sum | None], needs: tuple[bool, ...], sums: dict[Key, _Sum]) -> None:
    """Take a node's derivative, and pass the gradients on to the node's inputs."""
    cotangents: list[Any] = []
    plain = node.plain
    for total in totals:
        cotangents.append(None if total is None else total.value)
        plain = plain and not isinstance(cotangents[-1], Tracer)
    if recording.get() or observers.get():
        gradients = _observed(node, cotangents, needs, plain)
    else:
        gradients = node.op.backward(node, cotangents, needs) if plain else _vjp(node, cotangents, needs, plain)
    _contribute(sums, node.inputs, gradients, cotangents)


def _observed(node: Node, cotangents: list[Any], needs: tuple[bool, ...], plain: bool) -> list[Any]:
    """The derivative of an operation, recorded in the right scope and shown to the observers."""
    watching = observers.get()
    # What a derivative computes on its way is the derivative's, not an operation of the user's.
    token = observers.set(())
    try:
        # Recorded derivatives belong to the module whose forward pass they differentiate.
        inner = Scope("backward", node.op.name, node.scope, backward=True)
        with _within(inner) if recording.get() else nullcontext():
            gradients = _vjp(node, cotangents, needs, plain)
    finally:
        observers.reset(token)
    for observer in watching:
        observer.backward(node, cotangents, gradients)
    return gradients


def _vjp(node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...], plain: bool) -> list[Any]:
    """The vector-Jacobian products of a node's operation: tensors if they are recorded, else arrays or tracers."""
    if recording.get():
        return _vjp_of_tensors(node, cotangents, needs)
    if plain:
        return node.op.backward(node, cotangents, needs)
    with derivative_on_arrays(False):  # operations on tensors know what to do with a tracer
        tensors = _vjp_of_tensors(node, [c if c is None else _as_tensor(c) for c in cotangents], needs)
    return [None if gradient is None else gradient.data for gradient in tensors]


def _vjp_of_tensors(node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...]) -> list[Any]:
    """Of a fused operation through its decomposition, whose derivatives can be differentiated."""
    op = node.op
    if op.decomposition is None:
        return op.backward(node, cotangents, needs)
    assert isinstance(op, Primitive)
    saved = op.as_tensors(node, node.recall())
    # Cut off from where they came from: inputs may depend on each other, and hooks on them must not run here.
    create_graph = recording.get()
    with enable_grad():
        inputs = [alias(v) if isinstance(v, Tensor) and v.requires_grad else v for v in map(saved.get, op.inputs)]
        outputs = op.decomposition(*inputs, **node.params)
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if c is not None and o.requires_grad]
    targets = [value for value, need in zip(inputs, needs, strict=True) if need and value is not None]
    outputs, cotangents = [o for o, _ in pairs], [c for _, c in pairs]
    found = iter(backward_pass(outputs, cotangents, targets, retain_graph=True, create_graph=create_graph, cut=True))
    return fitted([next(found) if need else None for need in needs], needs, node)


def _run_hooks(hooks: dict[int, list[Hook]], totals: list[_Sum | None]) -> None:
    """Show each finished gradient to the hooks on its tensor; what a hook returns takes its place."""
    for index, registered in hooks.items():
        total = totals[index]
        if total is None:
            continue
        with derivative_on_arrays(False):
            for hook in list(registered):
                gradient = total.value if isinstance(total.value, Tensor) else read_only(total.value)
                replacement = hook(gradient)
                total.owned = False  # the hook may have kept what it saw
                if replacement is not None:
                    _check_replacement(replacement, gradient)
                    total.value = replacement if isinstance(total.value, Tensor) else replacement.data


def read_only(value: Any) -> Tensor:
    """A gradient to be looked at: others may share its array."""
    tensor = _as_tensor(value)
    if isinstance(tensor.data, np.ndarray):
        tensor.data = tensor.data.view()
        tensor.data.flags.writeable = False
    return tensor


def _check_replacement(replacement: Any, gradient: Tensor) -> None:
    """A hook may change a gradient's values, not what it is."""
    if not isinstance(replacement, Tensor):
        raise TypeError(f"hook: expected a tensor or None in return, got {type(replacement).__name__}")
    if (replacement.shape, replacement.dtype) != (gradient.shape, gradient.dtype):
        raise ValueError(
            f"hook: expected shape {gradient.shape} and dtype {gradient.dtype} in return, "
            f"got {replacement.shape} and {replacement.dtype}"
        )


def _retain(retained: dict[int, weakref.ref[Tensor]], totals: list[_Sum | None], given: set[int]) -> None:
    for index, reference in retained.items():
        tensor, total = reference(), totals[index]
        if tensor is not None and total is not None:
            total.owned = False
            _accumulate(tensor, total, given)


def _as_gradient(total: _Sum | None, given: set[int]) -> Tensor | None:
    """The finished sum as a tensor whose array nobody shares; ``given`` are the arrays given away before."""
    if total is None:
        return None
    if isinstance(total.value, Tensor):
        gradient = total.value
        if id(gradient.data) in given:
            gradient = cast(gradient, gradient.dtype)
        given.add(id(gradient.data))
        return gradient
    owned = total.owned and isinstance(total.value, np.ndarray)
    return Tensor(total.value if owned or isinstance(total.value, Tracer) else np.array(total.value))


def _accumulate(leaf: Tensor, total: _Sum, given: set[int]) -> None:
    """Add a finished gradient into ``leaf.grad``; in place, unless it is being recorded."""
    if isinstance(total.value, Tracer) and not isinstance(leaf.data, Tracer):
        raise RuntimeError(total.value.no_leaf)
    if leaf.grad is None:
        leaf.grad = _as_gradient(total, given)
    elif isinstance(total.value, (Tensor, Tracer)):
        leaf.grad = add(leaf.grad, _as_tensor(total.value))
    else:
        leaf.grad.data += total.value
        leaf.grad.storage.version += 1
    for hook in leaf._hooks[1][:] if leaf._hooks else ():
        hook(leaf)


@contextmanager
def _within(inner: Scope) -> Iterator[None]:
    token = scope.set(inner)
    try:
        yield
    finally:
        scope.reset(token)
