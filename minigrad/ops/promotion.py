"""Which dtype operands of several dtypes are brought to: PyTorch's rules, which agree with the Array API's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from minigrad.batched import Batched
from minigrad.tensor import Array, Tensor, as_array, default_float

Promotion = Literal["keep", "numeric", "floating"]


def promote(values: list[Any], floating: bool) -> list[Any]:
    """Bring arrays to one dtype as PyTorch does: float32 stays float32 beside integers, scalars beside arrays are weak.

    NumPy's own scalars count as weak too: neither ``x / np.sqrt(64)`` nor ``x / np.prod(shape)`` must widen a float32
    tensor.
    """
    if _already_one(values):
        return values
    arrays = [value for value in values if isinstance(value, (np.ndarray, Batched))]
    dtypes = {value.dtype for value in arrays or values if hasattr(value, "dtype")}
    floats = [dtype for dtype in dtypes if dtype.kind == "f"]
    if floats:
        dtype = floats[0] if len(floats) == 1 else np.result_type(*floats)
    elif floating or any(isinstance(value, (float, np.floating)) for value in values):
        dtype = default_float
    elif dtypes:
        dtype = np.result_type(*dtypes)
    else:
        return [np.asarray(value) for value in values]
    if not arrays:
        return [np.asarray(value, dtype) for value in values]
    return [
        value.astype(dtype, copy=False)
        if isinstance(value, (np.ndarray, Batched))
        else value.item()
        if isinstance(value, np.generic)
        else value
        for value in values
    ]


def _already_one(values: list[Any]) -> bool:
    """Whether there is nothing to do: floating arrays of one dtype, beside nothing but Python's numbers and None."""
    only = None
    for value in values:
        if isinstance(value, (np.ndarray, Batched)):
            if only is None:
                only = value.dtype
            elif value.dtype != only:
                return False
        elif (value is not None and not isinstance(value, (int, float))) or isinstance(value, np.generic):
            return False  # NumPy's float64 is a float too
    return only is not None and only.kind == "f"


def beside(args: Iterable[Any], given: Any, name: str = "data") -> Array:
    """An argument as an array; Python's floats, in nested lists too, do not lose digits beside a float64 array.

    Raises:
        TypeError: it is no array and has no numbers; the message names the argument.
    """
    array = as_array(given, name=name)
    rounded = array.dtype == default_float and isinstance(given, (float, list, tuple))
    if rounded and any(getattr(arg, "dtype", None) == np.float64 for arg in args):
        return as_array(given, np.float64)
    return array


def all_beside(arrays: Sequence[Any], name: str = "arrays") -> list[Any]:
    """Several arguments of one kind, tensors and arrays as they are, each of the others as an array beside them."""
    if not isinstance(arrays, Iterable):
        raise TypeError(f"{name}: expected a sequence of arrays, got {type(arrays).__name__}")
    arrays = list(arrays)
    return [
        x if isinstance(x, (Tensor, np.ndarray)) else beside(arrays, x, f"{name}[{i}]") for i, x in enumerate(arrays)
    ]
