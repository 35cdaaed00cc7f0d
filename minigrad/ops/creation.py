"""New tensors. The default float dtype is float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minigrad.tensor import Shape, Tensor, as_array, default_float

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def tensor(data: Any, dtype: npt.DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A new leaf holding a copy of ``data``.

    Args:
        data: a number, nested lists, an ndarray, a tensor. Python floats become float32; arrays keep their dtype.
        dtype: the dtype to convert to.
        requires_grad: whether to record operations on it.

    Example:
        >>> import minigrad as mg
        >>> mg.tensor([[1, 2], [3, 4]], dtype=mg.float32).shape
        (2, 2)
    """
    return Tensor(np.array(as_array(data, dtype)), requires_grad)


def asarray(data: Any, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Tensor:
    """``data`` as a tensor, sharing memory where possible; a tensor of the right dtype is returned as it is.

    Args:
        data: a number, nested lists, an ndarray, a tensor.
        dtype: the dtype to convert to.
        copy: True always copies, False raises ValueError if a copy would be needed.
    """
    if isinstance(data, Tensor) and not copy and (dtype is None or np.dtype(dtype) == data.dtype):
        return data
    array = as_array(data, dtype)
    if copy is False and not np.shares_memory(array, data.data if isinstance(data, Tensor) else data):
        raise ValueError("copy: False was given, but this data cannot be used without a copy")
    return Tensor(np.array(array) if copy else array)


def zeros(shape: int | Shape, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Zeros; float32 unless a dtype is given."""
    return Tensor(np.zeros(shape, dtype or default_float))


def ones(shape: int | Shape, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Ones; float32 unless a dtype is given."""
    return Tensor(np.ones(shape, dtype or default_float))


def empty(shape: int | Shape, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Uninitialised values; float32 unless a dtype is given."""
    return Tensor(np.empty(shape, dtype or default_float))


def full(shape: int | Shape, fill_value: complex, dtype: npt.DTypeLike | None = None) -> Tensor:
    """One value everywhere; its kind decides the dtype (float32 for a float) unless one is given."""
    return Tensor(np.full(shape, fill_value, dtype or as_array(fill_value).dtype))


def zeros_like(x: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Zeros of the shape (and dtype) of ``x``."""
    return Tensor(np.zeros_like(as_array(x), dtype))


def ones_like(x: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Ones of the shape (and dtype) of ``x``."""
    return Tensor(np.ones_like(as_array(x), dtype))


def empty_like(x: Any, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Uninitialised values of the shape (and dtype) of ``x``."""
    return Tensor(np.empty_like(as_array(x), dtype))


def full_like(x: Any, fill_value: complex, dtype: npt.DTypeLike | None = None) -> Tensor:
    """One value everywhere, with the shape (and dtype) of ``x``."""
    return Tensor(np.full_like(as_array(x), fill_value, dtype))


def eye(n_rows: int, n_cols: int | None = None, *, k: int = 0, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    return Tensor(np.eye(n_rows, n_cols, k, dtype or default_float))


def arange(start: float, stop: float | None = None, step: float = 1, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Evenly spaced values; int64 for integers, float32 as soon as one bound is a float."""
    bounds: tuple[Any, ...] = (start, stop, step) if stop is not None else (0, start, step)
    array = np.arange(*bounds, dtype=dtype)
    return Tensor(array if dtype or array.dtype != np.float64 else array.astype(default_float))


def linspace(
    start: float, stop: float, num: int = 50, dtype: npt.DTypeLike | None = None, endpoint: bool = True
) -> Tensor:
    """``num`` evenly spaced values from start to stop."""
    return Tensor(np.linspace(start, stop, num, endpoint=endpoint, dtype=dtype or default_float))
