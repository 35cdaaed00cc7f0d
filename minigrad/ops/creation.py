"""Creation functions. The default float dtype is float32; the only device is "cpu"."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minigrad.engine.dtypes import default_float, supported
from minigrad.engine.grad_mode import is_grad_enabled
from minigrad.engine.tensor import Array, Shape, Tensor, as_array
from minigrad.ops.arguments import as_integer, as_shape, shape_of
from minigrad.ops.elementwise import add, astype, multiply, subtract
from minigrad.ops.operands import as_operand, holds_tensors, sharing
from minigrad.ops.shape import broadcast_to, reshape

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]

Device = Literal["cpu"]


def _check_device(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"device: expected 'cpu' or None, got {device!r}")


def _real(dtype: npt.DTypeLike | None, default: npt.DTypeLike = default_float) -> np.dtype[Any]:
    """Validated dtype, or the default."""
    return supported(default if dtype is None else dtype)


# From data


def tensor(data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """New leaf tensor with a copy of ``data``.

    Args:
        data: a number, nested lists, an ndarray, a tensor. Python floats become float32; arrays keep their dtype.
        dtype: the dtype to convert to.
        requires_grad: record operations on it.

    Raises:
        TypeError: the data is not boolean, integer, float32 or float64.

    Warns:
        UserWarning: the data is connected to a graph, which the new leaf leaves.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1, 2], [3, 4]], dtype=mg.float32).shape
        (2, 2)
    """
    values = asarray(data, dtype=dtype)
    if values.requires_grad and is_grad_enabled():
        warnings.warn(
            "tensor: the result is a new leaf, through which no gradient passes to the data; use asarray or stack to "
            "stay connected, or detach() to say that this is meant",
            stacklevel=2,
        )
    return Tensor(np.array(values.data), requires_grad)


def asarray(
    obj: Any, /, dtype: npt.DTypeLike | None = None, *, device: Device | None = None, copy: bool | None = None
) -> Tensor:
    """Convert ``obj`` to a tensor, sharing memory where possible; a tensor of the right dtype is returned unchanged.

    Args:
        obj: a number, nested lists, an ndarray, a tensor, or what has NumPy's array protocols, buffers or DLPack.
            Nested lists may contain tensors, which stay connected to the graph.
        dtype: the dtype to convert to. By default arrays keep theirs, and Python floats become float32.
        device: "cpu" or None.
        copy: True always copies, False never does, None only where it must.

    Raises:
        TypeError: the data is not boolean, integer or real floating.
        ValueError: ``copy=False`` would need a copy, or the device is another.
        OverflowError: a Python integer is outside the dtype's range.

    Example:
        >>> import minigrad as mg
        >>> mg.asarray([[1, 2], [3, 4]], dtype=mg.float64)
        tensor([[1., 2.],
                [3., 4.]], dtype=float64)
    """
    _check_device(device)
    wanted = None if dtype is None else _real(dtype)
    if holds_tensors(obj):
        obj = as_operand(obj)
    if isinstance(obj, Tensor):
        same = wanted is None or wanted == obj.dtype
        if copy is False and not same:
            raise ValueError(f"copy: False was given, but {obj.dtype} cannot become {wanted} without a copy")
        return obj if same and not copy else astype(obj, obj.dtype if wanted is None else wanted)
    if not hasattr(obj, "__array__") and hasattr(obj, "__dlpack__"):
        obj = np.from_dlpack(obj)
    source = np.array(obj, copy=False) if copy is False else obj
    array = as_array(source, wanted, "obj")
    if copy is False and array is not source:
        raise ValueError(f"copy: False was given, but {source.dtype} cannot become {array.dtype} without one")
    return sharing(np.array(array) if copy else array, obj)


def from_dlpack(x: Any, /, *, device: Device | None = None, copy: bool | None = None) -> Tensor:
    """Tensor that shares the memory of another library's array.

    Args:
        x: anything with ``__dlpack__`` and ``__dlpack_device__``, on the CPU.
        device: "cpu" or None.
        copy: True copies; False never does.

    Raises:
        TypeError: the data is complex.
        ValueError: the device is another.
        BufferError: ``x`` cannot be exported.

    Example:
        >>> import minigrad as mg
        >>> import numpy as np
        >>> mg.from_dlpack(np.arange(3))
        tensor([0, 1, 2])
    """
    _check_device(device)
    return sharing(as_array(np.from_dlpack(x, copy=copy), name="x"), x)


# Constant tensors


def empty(shape: int | Shape, dtype: npt.DTypeLike | None = None, *, device: Device | None = None) -> Tensor:
    """Uninitialised tensor; float32 unless a dtype is given.

    Example:
        >>> import minigrad as mg
        >>> mg.empty((2, 3)).shape
        (2, 3)
    """
    _check_device(device)
    return Tensor(np.empty(as_shape(shape), _real(dtype)))


def zeros(shape: int | Shape, dtype: npt.DTypeLike | None = None, *, device: Device | None = None) -> Tensor:
    """Tensor of zeros; float32 unless a dtype is given.

    Example:
        >>> import minigrad as mg
        >>> mg.zeros(2)
        tensor([0., 0.])
    """
    _check_device(device)
    return Tensor(np.zeros(as_shape(shape), _real(dtype)))


def ones(shape: int | Shape, dtype: npt.DTypeLike | None = None, *, device: Device | None = None) -> Tensor:
    """Tensor of ones; float32 unless a dtype is given.

    Example:
        >>> import minigrad as mg
        >>> mg.ones(2, dtype=mg.int64)
        tensor([1, 1])
    """
    _check_device(device)
    return Tensor(np.ones(as_shape(shape), _real(dtype)))


def full(
    shape: int | Shape, fill_value: Any, dtype: npt.DTypeLike | None = None, *, device: Device | None = None
) -> Tensor:
    """Tensor filled with one value, which decides the dtype (float32 for a Python float) unless one is given.

    Args:
        shape: a size or a shape.
        fill_value: a number, or a tensor that broadcasts to ``shape``, which stays connected to the graph.
        dtype: the dtype wanted.
        device: "cpu" or None.

    Raises:
        OverflowError: ``fill_value`` is a Python integer outside the dtype's range.

    Example:
        >>> import minigrad as mg
        >>> mg.full((2,), 7)
        tensor([7, 7])
    """
    value = asarray(fill_value, dtype, device=device)
    if isinstance(fill_value, Tensor):
        return multiply(broadcast_to(value, shape), np.ones((), value.dtype))
    return Tensor(np.full(as_shape(shape), value.data))


def _shape_and_dtype(x: Any, dtype: npt.DTypeLike | None) -> tuple[Shape, np.dtype[Any]]:
    like = x if isinstance(x, Tensor) else as_array(x)  # of one example, in a batch: its values are not needed
    return like.shape, _real(dtype, like.dtype)


def empty_like(x: Any, /, dtype: npt.DTypeLike | None = None, *, device: Device | None = None) -> Tensor:
    """Uninitialised tensor of the shape (and dtype) of ``x``."""
    return empty(*_shape_and_dtype(x, dtype), device=device)


def zeros_like(x: Any, /, dtype: npt.DTypeLike | None = None, *, device: Device | None = None) -> Tensor:
    """Tensor of zeros of the shape (and dtype) of ``x``."""
    return zeros(*_shape_and_dtype(x, dtype), device=device)


def ones_like(x: Any, /, dtype: npt.DTypeLike | None = None, *, device: Device | None = None) -> Tensor:
    """Tensor of ones of the shape (and dtype) of ``x``."""
    return ones(*_shape_and_dtype(x, dtype), device=device)


def full_like(
    x: Any, /, fill_value: Any, dtype: npt.DTypeLike | None = None, *, device: Device | None = None
) -> Tensor:
    """Tensor filled with one value, of the shape (and dtype) of ``x``. See :func:`full`."""
    shape, dtype = _shape_and_dtype(x, dtype)
    return full(shape, fill_value, dtype, device=device)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    *,
    k: int = 0,
    dtype: npt.DTypeLike | None = None,
    device: Device | None = None,
) -> Tensor:
    """Identity matrix, or ones on the k-th diagonal (above the main one if positive); float32 unless a dtype is given.

    Example:
        >>> import minigrad as mg
        >>> mg.eye(2, 3, k=1)
        tensor([[0., 1., 0.],
                [0., 0., 1.]])
    """
    _check_device(device)
    n_rows = as_integer(n_rows, "n_rows")
    n_cols = n_rows if n_cols is None else as_integer(n_cols, "n_cols")
    k = max(-n_rows, min(as_integer(k, "k"), n_cols))  # NumPy's integers are limited
    return Tensor(np.eye(n_rows, n_cols, k, _real(dtype)))


# Ranges


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def arange(
    start: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    dtype: npt.DTypeLike | None = None,
    *,
    device: Device | None = None,
) -> Tensor:
    """Evenly spaced values in [start, stop), ``step`` apart; int64, or float32 if one of them is a float.

    Args:
        start: the first value; the only argument is the stop, and the first value is 0.
        stop: the end, excluded.
        step: the distance, not 0.
        dtype: the dtype wanted.
        device: "cpu" or None.

    Example:
        >>> import minigrad as mg
        >>> mg.arange(1, 6, 2)
        tensor([1, 3, 5])
    """
    _check_device(device)
    bounds = [_number(value) for value in ((start, stop, step) if stop is not None else (0, start, step))]
    if not bounds[2]:
        raise ValueError(f"step: expected a number other than 0, got {step}")
    array = np.arange(*bounds, dtype=dtype if dtype is not None and np.dtype(dtype).kind in "iu" else None)
    # Floats are computed in float64, and rounded once.
    return Tensor(array.astype(_real(dtype, default_float if array.dtype.kind == "f" else array.dtype), copy=False))


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int = 50,
    *,
    dtype: npt.DTypeLike | None = None,
    device: Device | None = None,
    endpoint: bool = True,
) -> Tensor:
    """Evenly spaced values, ``num`` of them, from start to stop; float32 unless a dtype is given.

    Args:
        start: the first value; a tensor, of any shape, has a gradient.
        stop: the last, or with ``endpoint=False`` the one after it; the same.
        num: the number of values.
        dtype: the dtype wanted.
        device: "cpu" or None.
        endpoint: include ``stop``.

    Example:
        >>> import minigrad as mg
        >>> mg.linspace(0, 1, 3)
        tensor([0. , 0.5, 1. ])
    """
    _check_device(device)
    if as_integer(num, "num") < 0:
        raise ValueError(f"num: expected at least 0, got {num}")
    if isinstance(start, Tensor) or isinstance(stop, Tensor):
        return _between(start, stop, np.linspace(0, 1, num, endpoint), dtype)
    return Tensor(np.linspace(_number(start), _number(stop), num, endpoint, dtype=_real(dtype)))


def _between(start: Any, stop: Any, weights: Array, dtype: npt.DTypeLike | None) -> Tensor:
    """Interpolated values from one tensor to another, (count, *shape); differentiable in both."""
    ends = add(start, multiply(subtract(stop, start), 1.0))  # their common shape and dtype
    column = weights.astype(ends.dtype).reshape(-1, *(1,) * ends.ndim)
    values = add(multiply(1 - column, start), multiply(column, stop))
    return values if dtype is None else astype(values, dtype)


def meshgrid(*arrays: Any, indexing: Literal["xy", "ij"] = "xy") -> list[Any]:
    """Coordinate grids from the coordinates along each axis.

    Args:
        arrays: vectors, or numbers.
        indexing: "ij": the first array goes along axis 0. "xy": along axis 1, and the second along axis 0.

    Returns:
        One array for each, all of the grid's shape.

    Raises:
        ValueError: the indexing is another, or an array has more than 1 dimension.

    Example:
        >>> import minigrad as mg
        >>> x, y = mg.meshgrid([1, 2], [3, 4])
        >>> x
        tensor([[1, 2],
                [1, 2]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing: expected 'xy' or 'ij', got {indexing!r}")
    if any(len(shape_of(x)) > 1 for x in arrays):
        raise ValueError(f"arrays: expected vectors, got the shapes {[shape_of(x) for x in arrays]}")
    count = len(arrays)
    places = list(range(count))
    if indexing == "xy" and count > 1:
        places[:2] = 1, 0
    lines = [
        reshape(x, (*(1,) * place, -1, *(1,) * (count - 1 - place))) for x, place in zip(arrays, places, strict=True)
    ]
    shape = np.broadcast_shapes(*(line.shape for line in lines))
    return [broadcast_to(line, shape) for line in lines]
