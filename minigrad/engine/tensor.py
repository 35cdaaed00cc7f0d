"""Tensor and node: the two things that a computation graph is made of.

A :class:`Tensor` is an array and, if it was computed from a tensor that requires a gradient, the :class:`Node` of the
operation that made it. A node points at the nodes of its inputs, never at its own results: there are no reference
cycles, and dropping the last tensor frees the graph by reference counting alone.

There is no arithmetic here. Operations build on this class (:mod:`minigrad.engine.primitive`), and higher floors hang
operators and methods on it.

Other parts attach at three points, and the engine knows none of them:

- **data**: a :class:`Tracer` may stand in for a tensor's array and interpret the operations itself (vmap);
- **saved values**: ``saved_values_hook`` takes in what a node would keep for its derivative (checkpointing);
- **calls**: each of the ``observers`` sees every operation and derivative (anomalies, exports).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from minigrad.engine.dtypes import SUPPORTED, default_float, supported

if TYPE_CHECKING:
    from minigrad.engine.methods import Methods  # those that higher floors hang on the class
else:
    Methods = object

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


def as_array(data: Any, dtype: npt.DTypeLike | None = None, name: str = "data") -> Array:
    """Any array-like as an ndarray; Python floats become float32, everything else keeps its dtype.

    Raises:
        TypeError: there is no tensor of such data; the message names the argument.
        OverflowError: an integer of nested lists is outside the range of 64 bits.
    """
    if isinstance(data, Tensor):
        data = data.data
    array = np.asarray(data)
    of_python = not isinstance(data, np.generic) and isinstance(data, (int, float, list, tuple))
    if array.dtype not in SUPPORTED:
        wide = of_python and array.size and all(isinstance(value, int) for value in array.flat)
        if wide and (dtype is None or np.dtype(dtype).kind != "f"):
            raise OverflowError(f"{name}: an integer is outside the range of 64 bits")
        if array.dtype.kind == "O" and not wide and not isinstance(data, np.ndarray):
            raise TypeError(f"{name}: expected a tensor, an array or numbers, got {_described(data)}")
        array = np.asarray(data, dtype) if wide else array.astype(supported(array.dtype, name))
    if dtype is None:
        return array.astype(default_float) if of_python and array.dtype == np.float64 else array
    # NumPy checks the range of Python's integers only.
    return np.asarray(data, dtype) if of_python else array.astype(dtype, copy=False)


def _described(data: Any) -> str:
    kinds = {type(value).__name__: None for value in np.asarray(data, object).flat} if isinstance(data, list) else {}
    return type(data).__name__ + (f" of {', '.join(kinds)}" if kinds else "")


class Tracer:
    """Base of what can stand in for a tensor's array, as JAX's tracers do: it shows one array and means another.

    It has an array's ``shape``, ``ndim``, ``size``, ``dtype`` and ``astype``. Converting it to an array or a number is
    an error, as is (``no_leaf``) a gradient of it that ends at a tensor of an ordinary array.
    """

    __slots__ = ()

    no_leaf = "backward: this gradient has no one array as its value"

    @classmethod
    def apply(
        cls, op: Operation, args: tuple[Any, ...], values: list[Any], params: dict[str, Any]
    ) -> Tensor | list[Tensor]:
        """Run an operation of which some values are tracers of this class."""
        raise TypeError(f"{cls.__name__} defines no apply()")

    @classmethod
    def align(cls, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments of an operation that somebody else applies, brought to tracers where they must be."""
        return args

    def astype(self, dtype: npt.DTypeLike, copy: bool = True) -> Any:
        """The same with another dtype."""
        raise TypeError(f"{type(self).__name__} defines no astype()")

    def values(self) -> Array:
        """All the numbers that it stands for."""
        raise TypeError(f"{type(self).__name__} defines no values()")


class Storage:
    """Memory behind a tensor, shared by all its views, with a version counter."""

    version = 0  # counts changes in place; whoever makes one calls :func:`write_to`
    foreign = False  # an ndarray outside shares it, so it may change without being counted
    replaced = False  # a recorded change moved its tensor to another storage, and left other views behind


class Scope(NamedTuple):
    """Name scope of an operation, by modules: a linked list from the innermost call outwards."""

    label: str  # the attribute name under which the module is known to its parent; or "backward", or "sum"
    kind: str  # the module's class name
    parent: Scope | None
    backward: bool = False  # recorded while a derivative was taken


scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


class Operation(Protocol):
    """The part of an operation that its nodes use."""

    name: str
    inputs: tuple[str, ...]
    decomposition: Callable[..., Any] | None

    def backward(self, node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...]) -> list[Any]: ...


class Observer:
    """Base of what looks at operations and derivatives once they are computed; each method does nothing by itself."""

    def forward(
        self, op: Operation, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any], results: list[Tensor]
    ) -> None:
        """An operation ran: with these arguments, the arrays and numbers that they became, and these results."""

    def backward(self, node: Node, cotangents: Sequence[Any], gradients: Sequence[Any]) -> None:
        """The derivative of a node was taken."""

    def write(self, tensor: Tensor) -> None:
        """A tensor's elements are about to be changed in place, unrecorded."""


observers: ContextVar[tuple[Observer, ...]] = ContextVar("observers", default=())

SavedValues = dict[str, Any]
# Takes a node's saved values and returns a function that gives them back when the derivative asks for them.
saved_values_hook: ContextVar[Callable[[SavedValues], Callable[[], SavedValues]] | None] = ContextVar(
    "saved_values_hook", default=None
)

serials = itertools.count()  # nodes are numbered as they are made
Hook = Callable[["Tensor"], "Tensor | None"]
Edge = tuple[Any, int]  # a vertex (a node, or a leaf tensor) and which of its results


class Node:
    """A recorded operation: its inputs, and the values that its derivative needs.

    ``inputs`` has an entry for each input: an edge when that input requires a gradient, else None.
    """

    __slots__ = (
        *("__weakref__", "dtypes", "hooks", "inputs", "metadata", "op", "output_dtypes", "output_shapes", "params"),
        *("plain", "retained", "saved", "scope", "serial", "shapes", "storages", "version"),
    )

    def __init__(
        self,
        op: Operation,
        inputs: Sequence[Edge | None],
        shapes: Sequence[Shape],
        dtypes: Sequence[Any],
        params: dict[str, Any],
        output_shapes: Sequence[Shape],
        output_dtypes: Sequence[Any],
        plain: bool = True,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.shapes = shapes
        self.dtypes = dtypes
        self.params = params
        self.output_shapes = output_shapes
        self.output_dtypes = output_dtypes
        self.plain = plain  # no input was a tracer
        self.saved: SavedValues | Callable[[], SavedValues] | None = None
        self.storages: Sequence[Storage] = ()  # of the saved values
        self.version = 0  # of all of them together, when they were saved
        self.hooks: dict[int, list[Hook]] | None = None
        self.retained: dict[int, weakref.ref[Tensor]] | None = None  # results whose ``grad`` is filled, as a leaf's is
        self.scope = scope.get()
        self.serial = next(serials)
        self.metadata: dict[str, Any] | None = None  # an observer's notes

    @property
    def name(self) -> str:
        return self.op.name

    def __repr__(self) -> str:
        return f"<{self.op.name}>"

    def save(self, values: SavedValues, storages: Sequence[Storage]) -> None:
        """Keep what the derivative needs, and the versions of the storages that it shares."""
        hook = saved_values_hook.get()
        self.saved = values if hook is None else hook(values)
        self.storages = storages
        for storage in storages:
            self.version += storage.version  # they only grow, so a sum misses no change

    def recall(self) -> SavedValues:
        """The saved values.

        Raises:
            RuntimeError: they were freed by an earlier backward pass, or changed in place since.
        """
        saved = self.saved
        if saved is None:
            raise RuntimeError(
                f"backward: the graph through '{self.op.name}' has been freed by an earlier backward pass; "
                "pass retain_graph=True to the earlier one to go through it again"
            )
        version = 0
        for storage in self.storages:
            version += storage.version
        if version != self.version:
            raise RuntimeError(
                f"backward: a tensor that the derivative of '{self.op.name}' needs was changed in place after it was "
                "used; change a copy instead"
            )
        if not isinstance(saved, dict):
            saved = self.saved = saved()
        return saved


class Tensor(Methods):
    """A multi-dimensional array that remembers how it was computed.

    Args:
        data: the values. The array is kept, not copied.
        requires_grad: whether operations on this tensor are recorded and ``backward`` fills ``grad``.

    Raises:
        TypeError: ``data`` is not an ndarray, or a gradient is asked for values that are not floating.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
    """

    __slots__ = (
        *("__weakref__", "_base", "_hooks", "_requires_grad", "_taken", "data", "grad", "index", "name", "node"),
        "storage",
    )

    data: Array
    _requires_grad: bool
    grad: Tensor | None
    node: Node | None  # the operation that made this tensor; None for a leaf
    index: int  # which of that operation's results this is
    storage: Storage
    name: str | None  # what pictures call it: a parameter's attribute name, or the user's own
    _hooks: tuple[list[Hook], list[Callable[[Tensor], None]]] | None  # on its gradient; on it, once `grad` holds that
    _base: weakref.ref[Tensor] | None  # of a view: the tensor whose elements it shows
    _taken: tuple[weakref.ref[Tensor], Any] | None  # of a view by an index: the tensor it was taken from, and the index

    def __init__(self, data: Array | Tracer, requires_grad: bool = False) -> None:
        if not isinstance(data, (np.ndarray, Tracer)):
            raise TypeError(f"data: expected a numpy.ndarray, got {type(data).__name__}; use minigrad.tensor(...)")
        if data.dtype not in SUPPORTED:  # type: ignore[union-attr]  # a tracer has an array's attributes
            raise TypeError(f"data: tensors of {supported(data.dtype, 'data')} are in the machine's byte order")  # type: ignore[union-attr]
        self.data = data  # type: ignore[assignment]
        self._requires_grad = False
        self.grad = None
        self.node = None
        self.index = 0
        self.storage = Storage()
        self.name = None
        self._hooks = None
        self._base = None
        self._taken = None
        if requires_grad:
            self.requires_grad_()

    if not TYPE_CHECKING:  # the array's own, without a Python call each
        shape, ndim, size, dtype = map(
            property, map(attrgetter, ("data.shape", "data.ndim", "data.size", "data.dtype"))
        )

    @property
    def is_leaf(self) -> bool:
        return self.node is None

    @property
    def grad_fn(self) -> Node | None:
        return self.node

    @property
    def edge(self) -> Edge:
        """Target of this tensor's gradient: a result of the node that made it, or the leaf itself."""
        return (self, 0) if self.node is None else (self.node, self.index)

    @property
    def requires_grad(self) -> bool:
        """True if operations on this tensor are recorded, so that it gets a gradient."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for (or decline) a gradient, in place; only floating leaves can be asked."""
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(f"requires_grad: only floating tensors have gradients, this one is {self.dtype}")
        if not requires_grad and self.node is not None:
            raise ValueError("requires_grad: a computed tensor cannot decline its gradient; use detach()")
        self._requires_grad = requires_grad
        return self

    def set_history(self, node: Node, index: int = 0) -> None:
        """Make this tensor a result of a node."""
        self._requires_grad = True
        self.node = node
        self.index = index

    def detach(self) -> Tensor:
        """The same values, out of the graph. Shares memory with this tensor."""
        out = Tensor(self.data)
        out.view_of(self)
        return out

    # Views

    def view_of(self, base: Tensor) -> None:
        """Note that this tensor shows another's elements: a change to either is one to both."""
        self.storage = base.storage
        self._base = base._base if base._base is not None and base._base() is not None else weakref.ref(base)

    @property
    def base(self) -> Tensor | None:
        """The tensor whose elements this one shows, if it is a view and that tensor is alive."""
        return None if self._base is None else self._base()

    def taken_from(self, parent: Tensor, index: Any) -> None:
        """Note which elements a view by an index shows, so that a recorded change of it reaches them."""
        self._taken = (weakref.ref(parent), index)

    @property
    def taken(self) -> tuple[Tensor | None, Any]:
        """The tensor that this view was taken from, if it is alive, and the index."""
        return (None, None) if self._taken is None else (self._taken[0](), self._taken[1])

    def check_current(self) -> None:
        """Refuse a view whose elements were moved away by a recorded change in place."""
        if self.storage.replaced:
            raise RuntimeError(
                "this view was taken before its tensor was changed in place while recording, and does not show the "
                "change; take it again, or change a copy"
            )

    # Values

    def numpy(self) -> Array:
        """The values as an ndarray that shares memory with the tensor.

        Raises:
            RuntimeError: the tensor requires a gradient, which would be lost; call ``detach()`` first.
        """
        if self.requires_grad:
            raise RuntimeError(
                "numpy(): this tensor requires a gradient, which NumPy would lose; use .detach().numpy()"
            )
        self.check_current()
        array = self.data if isinstance(self.data, np.ndarray) else np.asarray(self.data)  # an error of a tracer's own
        self.storage.foreign = True
        return array

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.data.tolist()

    def __getstate__(self) -> dict[str, Any]:
        """The state of copies and pickles: the values, not the history."""
        if self.node is not None:
            raise RuntimeError("copy: this tensor has a history, which cannot be copied; use detach()")
        state = {name: getattr(self, name) for name in ("data", "requires_grad", "grad", "name")}
        return state | getattr(self, "__dict__", {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        Tensor.__init__(self, state["data"])
        for name, value in state.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        if isinstance(self.data, Tracer):
            return f"tensor({self.data!r}, shape={self.shape}, dtype={self.dtype})"
        notes = (
            f"shape={self.shape}" if not self.size and self.shape != (0,) else "",
            f"dtype={self.dtype}" if self.dtype not in (default_float, np.dtype(np.int64), np.dtype(np.bool_)) else "",
            f"grad_fn=<{self.node.op.name}>" if self.node is not None else "requires_grad=True" * self.requires_grad,
        )
        text = "tensor(" + np.array2string(self.data, separator=", ", prefix="tensor(", suffix=",")
        for note in filter(None, notes):  # on a new line where the last one is full, as NumPy does with dtypes
            full = len(text) - text.rfind("\n") + len(note) + 2 > np.get_printoptions()["linewidth"]
            text += (",\n       " if full else ", ") + note
        return f"{text})"


def write_to(tensor: Tensor) -> None:
    """Announce an unrecorded change in place, before it is made: saved values that share the storage become stale."""
    for observer in observers.get():
        observer.write(tensor)
    tensor.storage.version += 1
