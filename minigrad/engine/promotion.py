"""Type promotion: PyTorch's rules, which agree with the Array API's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from minigrad.engine.dtypes import default_float
from minigrad.engine.tensor import Array, Tracer, as_array

Promotion = Literal["keep", "numeric", "floating"]


def promote(values: list[Any], floating: bool) -> list[Any]:
    """Bring arrays to one dtype as PyTorch does: float32 stays float32 beside integers, scalars beside arrays are weak.

    NumPy's own scalars count as weak too: neither ``x / np.sqrt(64)`` nor ``x / np.prod(shape)`` must widen a float32
    tensor.
    """
    arrays = [value for value in values if isinstance(value, (np.ndarray, Tracer))]
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
        if isinstance(value, (np.ndarray, Tracer))
        else value.item()
        if isinstance(value, np.generic)
        else value
        for value in values
    ]


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
