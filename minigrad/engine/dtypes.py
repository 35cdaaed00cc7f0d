"""Dtypes that a tensor can have."""

from __future__ import annotations

from typing import Any

import numpy as np

DType = np.dtype[Any]

FLOATS: tuple[DType, ...] = (np.dtype(np.float32), np.dtype(np.float64))
INTEGERS: tuple[DType, ...] = tuple(np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64))
ALL: tuple[DType, ...] = (np.dtype(np.bool_), *INTEGERS, *FLOATS)
SUPPORTED = frozenset(ALL)  # in the machine's byte order

default_float = FLOATS[0]


def supported(dtype: Any, name: str = "dtype") -> DType:
    """A tensor's dtype from anything that names one, in the machine's byte order.

    Raises:
        TypeError: tensors cannot have it; the message names the argument.
    """
    try:
        native = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        raise TypeError(f"{name}: expected a boolean, integer, float32 or float64 dtype, got {dtype!r:.80}") from None
    if native not in SUPPORTED:
        raise TypeError(f"{name}: expected a boolean, integer, float32 or float64 dtype, got {native}")
    return native
