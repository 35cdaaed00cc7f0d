"""Argument validation: axes, sizes, numbers and sequences of arrays, with errors that name the argument."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from minigrad.engine.promotion import beside
from minigrad.engine.tensor import Tensor


def as_integer(value: Any, name: str) -> int:
    """Convert a Python or NumPy integer to ``int``.

    Raises:
        TypeError: it is something else, a boolean among others.
    """
    if type(value) is int:
        return value
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    return int(value)


def as_number(value: Any, name: str) -> Any:
    """Check for a real number of Python or NumPy.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return value


def as_truth(value: Any, name: str) -> bool:
    """Convert a boolean, or a number that stands for one, to ``bool``.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, (int, float, np.bool_, np.number)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_shape(shape: Any, name: str = "shape") -> tuple[int, ...]:
    """Convert a size, or sizes, to a tuple of ``int``.

    Raises:
        TypeError: a size is no integer.
    """
    if isinstance(shape, (tuple, list, range)) or (isinstance(shape, np.ndarray) and shape.ndim):
        return tuple([as_integer(size, name) for size in shape])
    return (as_integer(shape, name),)


def axis_index(axis: Any, ndim: int, name: str = "axis") -> int:
    """Normalize an axis: counted from the front.

    Raises:
        TypeError: it is no integer.
        numpy.exceptions.AxisError: (a ValueError and IndexError) there is no such axis.
    """
    axis = as_integer(axis, name)
    if not -ndim <= axis < ndim:
        raise AxisError(axis, ndim, None if name == "axis" else name)
    return axis + ndim if axis < 0 else axis


def axis_indices(axes: Any, ndim: int, name: str = "axis", *, repeated: bool = False) -> tuple[int, ...]:
    """Normalize one axis or several: counted from the front.

    Raises:
        TypeError: one is no integer.
        numpy.exceptions.AxisError: (a ValueError and IndexError) one does not exist.
        ValueError: one is given twice and may not be ``repeated``.
    """
    given = axes if isinstance(axes, Iterable) and not isinstance(axes, (str, np.ndarray)) else (axes,)
    indices = tuple([axis_index(axis, ndim, name) for axis in given])
    if not repeated and len(set(indices)) < len(indices):
        raise ValueError(f"{name}: repeated axis in {axes}")
    return indices


def check_axis(axis: Any, ndim: int, several: bool) -> None:
    """Check an axis: values that NumPy refuses without naming the argument, non-integers and those beyond C's range.

    Raises:
        TypeError: an axis is no integer.
        numpy.exceptions.AxisError: (a ValueError and IndexError) an axis is further out than any array has one.
    """
    if several and isinstance(axis, list):
        raise TypeError(f"axis: expected an integer or a tuple of them, got {axis}")
    for each in axis if several and isinstance(axis, tuple) else (axis,):
        if not -MOST_AXES <= as_integer(each, "axis") <= MOST_AXES:
            raise AxisError(each, ndim)


MOST_AXES = 64  # of an array of NumPy


def reduced_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Reduced axes: all for None; a scalar's axis 0 or -1 is none."""
    return tuple(range(ndim)) if axis is None else axis_indices(axis, max(ndim, 1))[:ndim]


def all_beside(arrays: Any, name: str = "arrays") -> list[Any]:
    """Promote several arguments: tensors and arrays unchanged, each of the others as an array of a matching dtype."""
    if not isinstance(arrays, Iterable):
        raise TypeError(f"{name}: expected a sequence of arrays, got {type(arrays).__name__}")
    arrays = list(arrays)
    return [
        x if isinstance(x, (Tensor, np.ndarray)) else beside(arrays, x, f"{name}[{i}]") for i, x in enumerate(arrays)
    ]


def shape_of(x: Any) -> tuple[int, ...]:
    """Shape of a tensor, an array, or an array-like."""
    shape: tuple[int, ...] = x.shape if isinstance(x, (Tensor, np.ndarray)) else np.shape(x)
    return shape
