"""The graph: nodes, hooks, and the backward sweep.

While recording is on (:mod:`minigrad.modes`), every operation on a tensor that requires a gradient leaves a
:class:`Node` that points at the nodes of its inputs. Pointers run from results to inputs only and a node never holds
its own result, so there are no reference cycles: dropping the last tensor frees its graph at once.

:func:`sweep` walks the graph from results to leaves in topological order. It keeps its own stack, so depth costs
memory, not recursion, and its time is linear in the number of edges.
"""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import numpy as np

from minigrad.batched import Batched, Level, as_data
from minigrad.modes import GradMode, derivative_on_arrays
from minigrad.tensor import Buffer, Shape, Tensor

Hook = Callable[[Tensor], Tensor | None]


class Keeper(Protocol):
    """Takes in what nodes would keep for the backward pass, and gives it back when it is needed."""

    def keep(self, values: dict[str, Any]) -> Callable[[], dict[str, Any]]: ...
    def note(self, op: str, args: Sequence[Any], params: dict[str, Any]) -> None: ...
    def changing(self, tensor: Tensor) -> None: ...


class Watch(Protocol):
    """Looks at every operation and derivative once it is computed.

    ``forward`` sees the arguments of the call and, as ``values``, the arrays and numbers that they became.
    """

    def forward(
        self, op: Operation, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any], results: list[Tensor]
    ) -> None: ...
    def backward(self, node: Node, cotangents: Sequence[Any], gradients: Sequence[Any]) -> None: ...


keeper: ContextVar[Keeper | None] = ContextVar("keeper", default=None)  # autograd.checkpoint
watch: ContextVar[Watch | None] = ContextVar("watch", default=None)  # autograd.detect_anomaly


def changing(tensor: Tensor) -> None:
    """Note that a tensor's elements are about to be changed in place, unrecorded."""
    keeping = keeper.get()
    if keeping is not None:
        keeping.changing(tensor)
    tensor.buffer.changes += 1


class HookHandle:
    """What registering a hook returns: ``remove()`` takes the hook off again, as does the end of a ``with`` block."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove: Callable[[], None] | None = remove

    def remove(self) -> None:
        if self._remove is not None:
            self._remove()
        self._remove = None

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Scope(NamedTuple):
    """Where in the user's modules an operation ran: a linked list from the innermost call outwards."""

    label: str  # the attribute name under which the module is known to its parent; or "backward", or "sum"
    kind: str  # the module's class name
    parent: Scope | None
    backward: bool = False  # recorded while a derivative was taken


scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


serials = itertools.count()  # nodes are numbered as they are made


class Operation(Protocol):
    """What a node needs of the operation that it records."""

    name: str
    inputs: tuple[str, ...]
    composition: Callable[..., Any] | None

    def pull(self, node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...]) -> list[Any]: ...


class Node:
    """One recorded operation: what it computed, from what, and what its derivative needs.

    ``inputs`` has an entry for each input: ``(vertex, index)`` when that input requires a gradient, else None.
    """

    __slots__ = (
        "__weakref__",
        "_stamp",
        "_watched",
        "dtypes",
        "hooks",
        "inputs",
        "levels",
        "op",
        "output_dtypes",
        "output_shapes",
        "params",
        "retained",
        "saved",
        "scope",
        "serial",
        "shapes",
        "where",
    )

    def __init__(
        self,
        op: Operation,
        inputs: tuple[tuple[Any, int] | None, ...],
        shapes: tuple[Shape, ...],
        dtypes: tuple[Any, ...],
        params: dict[str, Any],
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.shapes = shapes
        self.dtypes = dtypes
        self.params = params
        self.saved: dict[str, Any] | Callable[[], dict[str, Any]] | None = None
        self.output_shapes: tuple[Shape, ...] = ()
        self.output_dtypes: tuple[Any, ...] = ()
        self.hooks: dict[int, list[Hook]] | None = None
        self.retained: dict[int, weakref.ref[Tensor]] | None = None  # results whose ``grad`` is filled, as a leaf's is
        self.scope = scope.get()
        self.serial = next(serials)
        self.levels: tuple[tuple[Level, ...], ...] | None = None  # of batched inputs: the vmaps they are examples of
        self.where: str | None = None  # the user's line, noted while anomalies are looked for
        self._watched: tuple[Buffer, ...] = ()
        self._stamp = 0

    @property
    def name(self) -> str:
        return self.op.name

    def __repr__(self) -> str:
        return f"<{self.op.name}>"

    def note_levels(self, values: Sequence[Any]) -> None:
        if Batched in map(type, values):
            self.levels = tuple(value.levels if isinstance(value, Batched) else () for value in values)

    def save(self, values: dict[str, Any], buffers: tuple[Buffer, ...]) -> None:
        """Keep what the derivative needs, and remember how often the buffers it shares were changed."""
        keeping = keeper.get()
        self.saved = values if keeping is None else keeping.keep(values)
        self._watched = buffers
        self._stamp = sum(buffer.changes for buffer in buffers)  # they only grow, so a sum misses no change

    def recall(self) -> dict[str, Any]:
        """What was saved.

        Raises:
            RuntimeError: it was freed by an earlier backward pass, or its data was changed in place since.
        """
        if self.saved is None:
            raise RuntimeError(
                f"backward: the graph through '{self.op.name}' has been freed by an earlier backward pass; "
                "pass retain_graph=True to the earlier one to go through it again"
            )
        if sum(buffer.changes for buffer in self._watched) != self._stamp:
            raise RuntimeError(
                f"backward: a tensor that the derivative of '{self.op.name}' needs was changed in place after it was "
                "used; change a copy instead"
            )
        if not isinstance(self.saved, dict):
            self.saved = self.saved()
        return self.saved

    def free(self) -> None:
        self.saved = None
        self._watched = ()


def edge(tensor: Tensor) -> tuple[Any, int]:
    """Where a tensor's gradient goes: to a result of the node that made it, or to the leaf itself."""
    return (tensor, 0) if tensor.node is None else (tensor.node, tensor.index)


class _Sum:
    """The running sum of what the uses of one tensor contribute to its gradient."""

    __slots__ = ("owned", "scope", "value")

    def __init__(self, value: Any, owned: bool) -> None:
        self.value = value
        self.owned = owned  # nobody else can see this buffer, so it may be changed in place
        self.scope: Scope | None = None  # in common to what a recorded sum is made of

    def add(self, value: Any, owned: bool) -> None:
        if self.owned and isinstance(self.value, np.ndarray) and isinstance(value, (np.ndarray, np.generic)):
            np.add(self.value, value, out=self.value)
            return
        if isinstance(value, Tensor):
            self.scope = self.scope or Scope("sum", "add", scope.get(), backward=True)
            with _within(self.scope):
                self.value = self.value + value
        else:
            self.value = _plus(self.value, value)
        self.owned = True


def _plus(a: Any, b: Any) -> Any:
    if isinstance(a, Batched) or isinstance(b, Batched):
        with derivative_on_arrays(False):
            return (Tensor(as_data(a)) + Tensor(as_data(b))).data
    return a + b


def vertices(roots: Iterable[Any], ends: Iterable[Any] = ()) -> list[Any]:
    """Every vertex between the roots and the ends, each after all the vertices it was computed from.

    Nodes older than all the ends cannot come from them: they are left out, with all that lies behind them.
    """
    order: list[Any] = list(ends)
    oldest = min((end.serial if isinstance(end, Node) else -1 for end in order), default=-1)
    seen = set(map(id, order))
    stack: list[tuple[Any, bool]] = [(root, False) for root in roots]
    while stack:
        vertex, finished = stack.pop()
        if finished:
            order.append(vertex)
        elif id(vertex) not in seen and not (isinstance(vertex, Node) and vertex.serial < oldest):
            seen.add(id(vertex))
            stack.append((vertex, True))
            if isinstance(vertex, Node):
                stack.extend((source[0], False) for source in vertex.inputs if source is not None)
    return order


def sweep(
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
        retain_graph: keep what the derivatives need, for another sweep.
        create_graph: record the derivatives too, so that they can be differentiated.
        cut: look no further than the targets, none of which may depend on another.

    Returns:
        The gradient of each target, None for a target that the outputs do not depend on.
    """
    wanted = None if targets is None else [edge(target) for target in targets]
    ends = [vertex for vertex, _ in wanted] if cut and wanted else []
    order = vertices([edge(output)[0] for output in outputs], ends)
    needed = _needed(order, wanted)
    sums: dict[tuple[int, int], _Sum] = {}
    found: dict[tuple[int, int], _Sum] = {}
    wanted_keys = {(id(vertex), index) for vertex, index in wanted or ()}

    watching = watch.get()
    given = {id(cotangent.data) for cotangent in cotangents}

    def contribute(vertex: Any, index: int, value: Any, owned: bool) -> None:
        key = (id(vertex), index)
        total = sums.get(key)
        if total is None:
            sums[key] = _Sum(value, owned)
        else:
            total.add(value, owned)

    # The slopes of branches not taken may be infinite: no news to the user, who saw the forward pass's warnings.
    with GradMode(create_graph), derivative_on_arrays(not create_graph), np.errstate(all="ignore"):
        for output, cotangent in zip(outputs, cotangents, strict=True):
            contribute(*edge(output), cotangent if create_graph else cotangent.data, False)
        for vertex in reversed(order):
            if id(vertex) not in needed:
                continue
            results = len(vertex.output_shapes) if isinstance(vertex, Node) else 1
            totals = [sums.pop((id(vertex), index), None) for index in range(results)]
            _run_hooks(vertex, totals)
            if isinstance(vertex, Node) and vertex.retained:
                _retain(vertex.retained, totals, given)
            for index, total in enumerate(totals):
                if total is not None and (id(vertex), index) in wanted_keys:
                    found[id(vertex), index] = total
            if not isinstance(vertex, Node):
                if wanted is None and totals[0] is not None:
                    _accumulate(vertex, totals[0], given)
                continue
            if all(total is None for total in totals):
                continue
            needs = tuple(source is not None and id(source[0]) in needed for source in vertex.inputs)
            if any(needs):
                values = [None if total is None else total.value for total in totals]
                if not create_graph and watching is None:
                    gradients = vertex.op.pull(vertex, values, needs)
                else:
                    gradients = _watched_pull(vertex, values, needs, create_graph, watching)
                known = [id(value) for value in (*values, *gradients)]
                # Of a few, counting through is faster; of many, it would take quadratic time.
                times = known.count if len(known) < 16 else Counter(known).__getitem__
                for source, gradient in zip(vertex.inputs, gradients, strict=True):
                    if source is not None and gradient is not None:
                        # A fresh array, no view and not handed on from above or to a sibling, belongs to the sweep.
                        fresh = type(gradient) is np.ndarray and gradient.base is None
                        contribute(*source, gradient, fresh and times(id(gradient)) == 1)
                if not retain_graph:
                    vertex.free()
    return [_as_gradient(found.get((id(vertex), index)), given) for vertex, index in wanted or ()]


def _needed(order: list[Any], wanted: list[tuple[Any, int]] | None) -> set[int]:
    """The vertices on a path to a target; all of them when every leaf is a target."""
    if wanted is None:
        return {id(vertex) for vertex in order}
    needed = {id(vertex) for vertex, _ in wanted}
    for vertex in order:
        if isinstance(vertex, Node) and any(s is not None and id(s[0]) in needed for s in vertex.inputs):
            needed.add(id(vertex))
    return needed


def _run_hooks(vertex: Any, totals: list[_Sum | None]) -> None:
    """Show each finished gradient to the hooks on its tensor; what a hook returns takes its place."""
    hooks = vertex.hooks if isinstance(vertex, Node) else vertex._hooks and {0: vertex._hooks}
    for index, registered in (hooks or {}).items():
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
    """A gradient to be looked at: others may share its buffer."""
    data = as_data(value)
    if isinstance(data, np.ndarray):
        data = data.view()
        data.flags.writeable = False
    return Tensor(data)


def _retain(retained: dict[int, weakref.ref[Tensor]], totals: list[_Sum | None], given: set[int]) -> None:
    for index, reference in retained.items():
        tensor, total = reference(), totals[index]
        if tensor is not None and total is not None:
            total.owned = False
            _accumulate(tensor, total, given)


def _check_replacement(replacement: Any, gradient: Tensor) -> None:
    """A hook may change a gradient's values, not what it is."""
    if not isinstance(replacement, Tensor):
        raise TypeError(f"hook: expected a tensor or None in return, got {type(replacement).__name__}")
    if (replacement.shape, replacement.dtype) != (gradient.shape, gradient.dtype):
        raise ValueError(
            f"hook: expected shape {gradient.shape} and dtype {gradient.dtype} in return, "
            f"got {replacement.shape} and {replacement.dtype}"
        )


def _as_gradient(total: _Sum | None, given: set[int]) -> Tensor | None:
    """The finished sum as a tensor whose buffer nobody shares; ``given`` are the data given away before."""
    if total is None:
        return None
    if isinstance(total.value, Tensor):
        gradient = total.value.copy() if id(total.value.data) in given else total.value
        given.add(id(gradient.data))
        return gradient
    if total.owned or isinstance(total.value, Batched):
        return Tensor(as_data(total.value))
    return Tensor(np.array(total.value))


def _accumulate(leaf: Tensor, total: _Sum, given: set[int]) -> None:
    """Add a finished gradient into ``leaf.grad``; in place, unless it is being recorded."""
    if isinstance(total.value, Batched) and not isinstance(leaf.data, Batched):
        raise RuntimeError("backward: inside vmap each example has its own gradient; use func.grad, which returns it")
    if leaf.grad is None:
        leaf.grad = _as_gradient(total, given)
    elif isinstance(total.value, Tensor):
        leaf.grad = leaf.grad + total.value
    else:
        leaf.grad.data += total.value
        leaf.grad.buffer.changes += 1


def _watched_pull(
    node: Node, cotangents: list[Any], needs: tuple[bool, ...], recorded: bool, watching: Watch | None
) -> list[Any]:
    """The derivative of an operation, recorded in the right place or shown to whoever watches."""
    # What a derivative computes on its way is the derivative's, not an operation of the user's.
    token = watch.set(None)
    try:
        # Recorded derivatives belong to the module whose forward pass they differentiate.
        with _within(Scope("backward", node.op.name, node.scope, backward=True)) if recorded else nullcontext():
            gradients = node.op.pull(node, cotangents, needs)
    finally:
        watch.reset(token)
    if watching is not None:
        watching.backward(node, cotangents, gradients)
    return gradients


@contextmanager
def _within(inner: Scope) -> Iterator[None]:
    token = scope.set(inner)
    try:
        yield
    finally:
        scope.reset(token)
