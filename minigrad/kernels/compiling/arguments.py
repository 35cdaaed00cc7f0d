"""Argument checks, with errors that name the argument."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


def check_floats(**arrays: np.ndarray) -> None:
    """TypeError unless all are arrays, of float32 or of float64."""
    (name, first), *others = arrays.items()
    check_arrays(**arrays)
    if first.dtype not in FLOATS:
        raise TypeError(f"{name} must be a float32 or float64 array; got {first.dtype}")
    for other, array in others:
        if array.dtype != first.dtype:
            raise TypeError(f"{other} must have the dtype of {name}, {first.dtype}; got {array.dtype}")


def check_arrays(**arrays: np.ndarray) -> None:
    """TypeError unless all are ndarrays, or NumPy's scalars."""
    for name, array in arrays.items():
        if not isinstance(array, (np.ndarray, np.generic)):
            raise TypeError(f"{name} must be an array; got {type(array).__name__}")


def check_precision(precision: object) -> None:
    """ValueError unless it is None or a precision that operands are rounded to."""
    if precision not in (None, "bfloat16"):
        raise ValueError(f"precision must be None or 'bfloat16'; got {precision!r}")


def check_listed(name: str, arrays: object) -> None:
    """TypeError unless it is a list or tuple."""
    if not isinstance(arrays, (list, tuple)):
        raise TypeError(f"{name} must be a list of arrays; got {type(arrays).__name__}")


def check_listed_floats(name: str, arrays: Sequence[np.ndarray]) -> None:
    """TypeError unless all are arrays, of float32 or of float64; of thousands, errors are worded on demand."""
    usual, dtype = True, getattr(arrays[0], "dtype", None)
    for array in arrays:
        usual = usual and type(array) is np.ndarray and array.dtype == dtype
    if not usual or dtype not in FLOATS:
        check_floats(**{f"{name}[{number}]": array for number, array in enumerate(arrays)})


def check_integers(**integers: int) -> None:
    """TypeError unless all are Python's or NumPy's integers."""
    for name, integer in integers.items():
        if not isinstance(integer, (int, np.integer)):
            raise TypeError(f"{name} must be an integer; got {type(integer).__name__}")


def check_numbers(**numbers: float) -> None:
    """TypeError unless all are Python's or NumPy's real numbers."""
    for name, number in numbers.items():
        if not isinstance(number, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} must be a number; got {type(number).__name__}")


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; got {array.shape}")


def check_indices(name: str, indices: np.ndarray, size: int, ignored: int | None = None) -> None:
    """Integers of [0, size), and possibly ``ignored``."""
    check_arrays(**{name: indices})
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers; got {indices.dtype}")
    if not indices.size or (indices.min() >= 0 and indices.max() < size):
        return
    wrong = (indices < 0) | (indices >= size)
    if ignored is not None:
        wrong &= indices != ignored
    if wrong.any():
        allowed = f"in [0, {size})" + (f" or {ignored}" if ignored is not None else "")
        raise IndexError(f"{name} must be {allowed}; got {indices[wrong].flat[0]}")


def check_in_place(name: str, array: np.ndarray) -> None:
    """ValueError unless the array can be written through as one contiguous run."""
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ValueError(f"{name} must be C-contiguous and writeable, for it is changed in place")
