"""Arguments: axes, sizes, numbers and sequences of arrays, checked in one way, with errors that name them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from minigrad.engine.promotion import beside
from minigrad.engine.tensor import Tensor


def as_integer(value: Any, name: str) -> int:
    """A Python or NumPy integer as Python's.

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
    """A real number, of Python's or NumPy's.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return value


def as_truth(value: Any, name: str) -> bool:
    """A boolean, or a number in its place.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, (int, float, np.bool_, np.number)):
        raise TypeError(f"{name}: expected True or False, got {value!r}")
    return bool(value)


def as_shape(shape: Any, name: str = "shape") -> tuple[int, ...]:
    """A size, or sizes, as a tuple of Python's integers.

    Raises:
        TypeError: a size is no integer.
    """
    if isinstance(shape, (tuple, list, range)) or (isinstance(shape, np.ndarray) and shape.ndim):
        return tuple([as_integer(size, name) for size in shape])
    return (as_integer(shape, name),)


def axis_index(axis: Any, ndim: int, name: str = "axis") -> int:
    """An axis counted from the front.

    Raises:
        TypeError: it is no integer.
        numpy.exceptions.AxisError: (a ValueError and IndexError) there is no such axis.
    """
    axis = as_integer(axis, name)
    if not -ndim <= axis < ndim:
        raise AxisError(axis, ndim, None if name == "axis" else name)
    return axis + ndim if axis < 0 else axis


def axis_indices(axes: Any, ndim: int, name: str = "axis", *, repeated: bool = False) -> tuple[int, ...]:
    """One axis or several, counted from the front.

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
    """Refuse what NumPy would refuse without naming the argument: no integers, and those that C cannot count to.

    Raises:
        TypeError: an axis is no integer.
        numpy.exceptions.AxisError: (a ValueError and IndexError) an axis is further out than any array has one.
    """
    for each in axis if several and isinstance(axis, tuple) else (axis,):
        if not -MOST_AXES <= as_integer(each, "axis") <= MOST_AXES:
            raise AxisError(each, ndim)


MOST_AXES = 64  # of an array of NumPy


def reduced_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction collapses: all for None; a number's own axis 0 or -1 is none."""
    return tuple(range(ndim)) if axis is None else axis_indices(axis, max(ndim, 1))[:ndim]


def all_beside(arrays: Any, name: str = "arrays") -> list[Any]:
    """Several arguments of one kind, tensors and arrays as they are, each of the others as an array beside them."""
    if not isinstance(arrays, Iterable):
        raise TypeError(f"{name}: expected a sequence of arrays, got {type(arrays).__name__}")
    arrays = list(arrays)
    return [
        x if isinstance(x, (Tensor, np.ndarray)) else beside(arrays, x, f"{name}[{i}]") for i, x in enumerate(arrays)
    ]


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a tensor, an array, or what an array can be made of."""
    shape: tuple[int, ...] = x.shape if isinstance(x, (Tensor, np.ndarray)) else np.shape(x)
    return shape
