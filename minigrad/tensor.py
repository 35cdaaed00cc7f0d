"""The tensor: an ndarray, whether it wants a gradient, and the node that made it.

There is no arithmetic here. The operations in :mod:`minigrad.ops` build on this class, and
:mod:`minigrad.operators` hangs the operators and methods on it, so that imports run one way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from minigrad.graph import Node

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

default_float = np.dtype(np.float32)


class Level:
    """One vmap under way: how many examples it has. Levels are ordered by their start."""

    __slots__ = ("live", "serial", "size")

    _serials = itertools.count()

    def __init__(self, size: int) -> None:
        self.size = size
        self.serial = next(Level._serials)
        self.live = True

    def __lt__(self, other: Level) -> bool:
        return self.serial < other.serial


class BatchError(TypeError):
    """The values of a batched tensor were asked for, but each of its examples has its own."""


class Batched:
    """The data of a tensor inside :func:`minigrad.func.vmap`: it shows one example's shape and keeps all of them.

    ``array`` has a leading axis for each of ``levels``, in their order, and behind them the axes of an example.
    """

    __slots__ = ("array", "levels")

    def __init__(self, array: Array, levels: tuple[Level, ...]) -> None:
        self.array = array
        self.levels = levels

    @property
    def shape(self) -> Shape:
        return self.array.shape[len(self.levels) :]

    @property
    def ndim(self) -> int:
        return self.array.ndim - len(self.levels)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def astype(self, dtype: npt.DTypeLike, copy: bool = True) -> Batched:
        return Batched(self.array.astype(dtype, copy=copy), self.levels)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise BatchError("vmap: this code needs the values of one example, but is given a whole batch")

    __array__ = __bool__ = __int__ = __float__ = __index__ = item = tolist = _refuse


def as_array(data: Any, dtype: npt.DTypeLike | None = None) -> Array:
    """Any array-like as an ndarray; Python floats become float32, everything else keeps its dtype."""
    if isinstance(data, Tensor):
        data = data.data
    array = np.asarray(data)
    if dtype is None and array.dtype == np.float64 and not isinstance(data, (np.ndarray, np.generic)):
        dtype = default_float
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"dtype: expected boolean, integer or real floating data, got {array.dtype}")
    return array


def as_data(result: Any) -> Any:
    """What an operation computed as a tensor's data: NumPy's reductions give scalars."""
    return result if isinstance(result, (np.ndarray, Batched)) else np.asarray(result)


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

    __slots__ = ("__weakref__", "_hooks", "data", "grad", "index", "name", "node", "requires_grad", "version")

    data: Array
    requires_grad: bool
    grad: Tensor | None
    node: Node | None  # the operation that made this tensor; None for a leaf
    index: int  # which of that operation's results this is
    version: list[int]  # [number of in-place changes], shared by all views of one buffer
    name: str | None  # what pictures call it: a parameter's attribute name, or the user's own
    _hooks: list[Callable[[Tensor], Tensor | None]] | None

    # Arrays on the left of an operator leave the work to the tensor on its right.
    __array_priority__ = 1000

    def __init__(self, data: Array | Batched, requires_grad: bool = False) -> None:
        if not isinstance(data, (np.ndarray, Batched)):
            raise TypeError(f"data: expected a numpy.ndarray, got {type(data).__name__}; use minigrad.tensor(...)")
        self.data = data  # type: ignore[assignment]  # a batch stands in for the array of one example
        self.requires_grad = False
        self.grad = None
        self.node = None
        self.index = 0
        self.version = [0]
        self.name = None
        self._hooks = None
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
    def is_leaf(self) -> bool:
        return self.node is None

    @property
    def grad_fn(self) -> Node | None:
        return self.node

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for (or decline) a gradient, in place; only floating leaves can be asked."""
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(f"requires_grad: only floating tensors have gradients, this one is {self.dtype}")
        if not requires_grad and self.node is not None:
            raise ValueError("requires_grad: a computed tensor cannot decline its gradient; use detach()")
        self.requires_grad = requires_grad
        return self

    def detach(self) -> Tensor:
        """The same values, out of the graph. Shares memory with this tensor."""
        out = Tensor(self.data)
        out.version = self.version
        return out

    def numpy(self) -> Array:
        """The values as an ndarray that shares memory with the tensor.

        Raises:
            RuntimeError: the tensor requires a gradient, which would be lost; call ``detach()`` first.
        """
        if self.requires_grad:
            raise RuntimeError(
                "numpy(): this tensor requires a gradient, which NumPy would lose; use .detach().numpy()"
            )
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

    def __len__(self) -> int:
        if not self.data.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __index__(self) -> int:
        return self.data.__index__()

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        if isinstance(self.data, Batched):
            return f"tensor(<one of a batch>, shape={self.shape}, dtype={self.dtype})"
        body = np.array2string(self.data, separator=", ", prefix="tensor(")
        notes = []
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
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]  # elementwise, as in NumPy
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]  # elementwise, as in NumPy
        def __getitem__(self, index: Any) -> Tensor: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def cumsum(self, axis: int = -1) -> Tensor: ...
        def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor: ...
        def clip(self, min: float | None = None, max: float | None = None) -> Tensor: ...
        def any(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def all(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def swapaxes(self, axis1: int, axis2: int) -> Tensor: ...
        def squeeze(self, axis: Any) -> Tensor: ...
        def astype(self, dtype: Any, copy: bool = True) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def backward(
            self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
        ) -> None: ...
        def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]: ...
        def retain_grad(self) -> None: ...
