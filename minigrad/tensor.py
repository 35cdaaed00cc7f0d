"""The tensor: an ndarray, whether it wants a gradient, and the node that made it.

There is no arithmetic here. The operations in :mod:`minigrad.ops` build on this class, and
:mod:`minigrad.operators` hangs the operators and methods on it, so that imports run one way.
"""

from __future__ import annotations

import dis
import operator
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minigrad.batched import Array, Batched, Shape
from minigrad.dtypes import SUPPORTED, supported

if TYPE_CHECKING:
    from minigrad.graph import HookHandle, Node


default_float = np.dtype(np.float32)


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


_STORE_SUBSCR = dis.opmap["STORE_SUBSCR"]


class Buffer:
    """What is known of the memory behind a tensor, in common with all views of it."""

    __slots__ = ("changes", "foreign", "replaced")

    def __init__(self, foreign: bool = False) -> None:
        self.changes = 0  # made in place; whoever makes one counts it
        self.foreign = foreign  # an ndarray outside shares it, so it may change without being counted
        self.replaced = False  # a recorded change moved its tensor to another buffer, and left other views behind


class Tensor:
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
        "__weakref__",
        "_base",
        "_hooks",
        "_requires_grad",
        "_taken",
        "buffer",
        "data",
        "grad",
        "index",
        "name",
        "node",
    )

    data: Array
    _requires_grad: bool
    grad: Tensor | None
    node: Node | None  # the operation that made this tensor; None for a leaf
    index: int  # which of that operation's results this is
    buffer: Buffer
    name: str | None  # what pictures call it: a parameter's attribute name, or the user's own
    _hooks: list[Callable[[Tensor], Tensor | None]] | None
    _base: weakref.ref[Tensor] | None  # of a view: the tensor whose elements it shows
    _taken: tuple[weakref.ref[Tensor], Any] | None  # of a view by an index: the tensor it was taken from, and the index

    def __init__(self, data: Array | Batched, requires_grad: bool = False) -> None:
        if not isinstance(data, (np.ndarray, Batched)):
            raise TypeError(f"data: expected a numpy.ndarray, got {type(data).__name__}; use minigrad.tensor(...)")
        if data.dtype not in SUPPORTED:
            raise TypeError(f"data: tensors of {supported(data.dtype, 'data')} are in the machine's byte order")
        self.data = data  # type: ignore[assignment]  # a batch stands in for the array of one example
        self._requires_grad = False
        self.grad = None
        self.node = None
        self.index = 0
        self.buffer = Buffer()
        self.name = None
        self._hooks = None
        self._base = None
        self._taken = None
        if requires_grad:
            self.requires_grad_()

    @property
    def shape(self) -> Shape:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def itemsize(self) -> int:
        return self.data.itemsize

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    @property
    def is_leaf(self) -> bool:
        return self.node is None

    @property
    def grad_fn(self) -> Node | None:
        return self.node

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded, so that it gets a gradient."""
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

    def detach(self) -> Tensor:
        """The same values, out of the graph. Shares memory with this tensor."""
        out = Tensor(self.data)
        out.view_of(self)
        return out

    def view_of(self, base: Tensor) -> None:
        """Note that this tensor shows another's elements: a change to either is one to both."""
        self.buffer = base.buffer
        self._base = base._base if base._base is not None and base._base() is not None else weakref.ref(base)

    def taken_from(self, parent: Tensor, index: Any) -> None:
        """Note which elements a view by an index shows, so that a recorded change of it reaches them."""
        self._taken = (weakref.ref(parent), index)

    @property
    def taken(self) -> tuple[Tensor | None, Any]:
        """The tensor that this view was taken from, if it is alive, and the index."""
        return (None, None) if self._taken is None else (self._taken[0](), self._taken[1])

    def check_current(self) -> None:
        """Refuse a view whose elements were moved away by a recorded change in place."""
        if self.buffer.replaced:
            raise RuntimeError(
                "this view was taken before its tensor was changed in place while recording, and does not show the "
                "change; take it again, or change a copy"
            )

    @property
    def base(self) -> Tensor | None:
        """The tensor whose elements this one shows, if it is a view and that tensor is alive."""
        return None if self._base is None else self._base()

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
        if isinstance(self.data, Batched):
            self.data.refuse()
        self.buffer.foreign = True
        return self.data

    def item(self) -> Any:
        """The only element, as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.data.tolist()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        return np.array(array, dtype=dtype, copy=copy)

    @property
    def device(self) -> str:
        """Always "cpu"."""
        return "cpu"

    def to_device(self, device: str, /, *, stream: None = None) -> Tensor:
        """The tensor itself: there is one device, "cpu".

        Raises:
            ValueError: another device, or a stream, is asked for.
        """
        if device != "cpu" or stream is not None:
            raise ValueError(f"device: expected 'cpu' (without a stream), got {device!r}")
        return self

    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The buffer for another library, without a copy unless one is asked for (the Array API's DLPack protocol)."""
        return self.numpy().__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def __len__(self) -> int:
        if not self.data.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.data.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.data.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __round__(self, decimals: int = 0) -> Tensor:
        return self.round(decimals)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self.data.ndim else format(str(self), spec)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        self._check_not_stored()
        return int(self.data)

    def __float__(self) -> float:
        self._check_not_stored()
        return float(self.data)

    def __complex__(self) -> complex:
        self._check_not_stored()
        return complex(self.data)

    def _check_not_stored(self) -> None:
        """Refuse ``array[0] = tensor``, where an ndarray asks for a number and would lose the gradient."""
        caller = sys._getframe(2)
        if self._requires_grad and caller.f_code.co_code[caller.f_lasti] == _STORE_SUBSCR:
            raise RuntimeError(
                "array[...] = tensor: this tensor requires a gradient, which the array would lose; use .detach()"
            )

    def __index__(self) -> int:
        return operator.index(self.data)

    def __hash__(self) -> int:
        return id(self)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: the values, not the history."""
        if self.node is not None:
            raise RuntimeError("copy: this tensor has a history, which cannot be copied; use detach()")
        kept = {name: getattr(self, name) for name in ("data", "requires_grad", "grad", "name")}
        return kept | getattr(self, "__dict__", {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        Tensor.__init__(self, state["data"])
        for name, value in state.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        if isinstance(self.data, Batched):
            return f"tensor(<one of a batch>, shape={self.shape}, dtype={self.dtype})"
        body = np.array2string(self.data, separator=", ", prefix="tensor(")
        notes = [f", shape={self.shape}"] if not self.size and self.shape != (0,) else []
        if self.dtype not in (default_float, np.dtype(np.int64), np.dtype(np.bool_)):
            notes.append(f", dtype={self.dtype}")
        if self.node is not None:
            notes.append(f", grad_fn=<{self.node.op.name}>")
        elif self.requires_grad:
            notes.append(", requires_grad=True")
        return f"tensor({body}{''.join(notes)})"

    if TYPE_CHECKING:  # hung on the class by minigrad.operators
        T: Tensor
        mT: Tensor

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rlshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __rrshift__(self, other: Any) -> Tensor: ...
        def __iadd__(self, other: Any) -> Tensor: ...
        def __isub__(self, other: Any) -> Tensor: ...
        def __imul__(self, other: Any) -> Tensor: ...
        def __itruediv__(self, other: Any) -> Tensor: ...
        def __ifloordiv__(self, other: Any) -> Tensor: ...
        def __imod__(self, other: Any) -> Tensor: ...
        def __ipow__(self, other: Any) -> Tensor: ...
        def __imatmul__(self, other: Any) -> Tensor: ...
        def __iand__(self, other: Any) -> Tensor: ...
        def __ior__(self, other: Any) -> Tensor: ...
        def __ixor__(self, other: Any) -> Tensor: ...
        def __ilshift__(self, other: Any) -> Tensor: ...
        def __irshift__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]  # elementwise, as in NumPy
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]  # elementwise, as in NumPy
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any: ...
        def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any: ...
        def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType: ...
        def sum(self, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor: ...
        def prod(self, axis: Any = None, keepdims: bool = False, *, dtype: Any = None) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def std(self, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def any(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def all(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def logsumexp(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def cumsum(self, axis: int | None = None, dtype: Any = None) -> Tensor: ...
        def cumprod(self, axis: int | None = None, dtype: Any = None) -> Tensor: ...
        def argsort(self, axis: int | None = -1, descending: bool = False, stable: bool = True) -> Tensor: ...
        def searchsorted(self, x2: Any, *, side: Any = "left", sorter: Any = None) -> Tensor: ...
        def topk(self, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]: ...
        def nonzero(self) -> tuple[Tensor, ...]: ...
        def isnan(self) -> Tensor: ...
        def isinf(self) -> Tensor: ...
        def isfinite(self) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def swapaxes(self, axis1: int, axis2: int) -> Tensor: ...
        def moveaxis(self, source: Any, destination: Any) -> Tensor: ...
        def squeeze(self, axis: Any = None) -> Tensor: ...
        def expand_dims(self, axis: Any = 0) -> Tensor: ...
        def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor: ...
        def ravel(self) -> Tensor: ...
        def flip(self, axis: Any = None) -> Tensor: ...
        def repeat(self, repeats: Any, axis: int | None = None) -> Tensor: ...
        def tile(self, reps: Any) -> Tensor: ...
        def roll(self, shift: Any, axis: Any = None) -> Tensor: ...
        def take(self, indices: Any, axis: int | None = None) -> Tensor: ...
        def gather(self, axis: int, index: Any) -> Tensor: ...
        def scatter_add(self, axis: int, index: Any, src: Any) -> Tensor: ...
        def index_add(self, axis: int, index: Any, source: Any, alpha: float = 1) -> Tensor: ...
        def masked_fill(self, mask: Any, value: Any) -> Tensor: ...
        def tril(self, k: int = 0) -> Tensor: ...
        def triu(self, k: int = 0) -> Tensor: ...
        def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor: ...
        def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor: ...
        def dot(self, x2: Any) -> Tensor: ...
        def matmul(self, x2: Any) -> Tensor: ...
        def norm(self, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def softmax(self, axis: int = -1) -> Tensor: ...
        def log_softmax(self, axis: int = -1) -> Tensor: ...
        def astype(self, dtype: Any, *, copy: bool = True) -> Tensor: ...
        def copy(self) -> Tensor: ...
        def clip(self, min: Any = None, max: Any = None) -> Tensor: ...
        def round(self, decimals: int = 0) -> Tensor: ...
        def pow(self, x2: Any) -> Tensor: ...
        def abs(self) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def log1p(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def square(self) -> Tensor: ...
        def sin(self) -> Tensor: ...
        def cos(self) -> Tensor: ...
        def tan(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def sigmoid(self) -> Tensor: ...
        def relu(self) -> Tensor: ...
        def floor(self) -> Tensor: ...
        def ceil(self) -> Tensor: ...
        def sign(self) -> Tensor: ...
        def backward(
            self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
        ) -> None: ...
        def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle: ...
        def retain_grad(self) -> None: ...
