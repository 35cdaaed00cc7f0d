"""Dtypes of tensors, their inspection functions, and the constants of the Array API standard."""

from __future__ import annotations

import builtins
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy import e, inf, nan, newaxis, pi

from minigrad.engine.dtypes import ALL, DType

bool = np.dtype(np.bool_)
int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64))
float32, float64 = np.dtype(np.float32), np.dtype(np.float64)

__all__ = ["bool", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
__all__ += ["e", "inf", "nan", "newaxis", "pi"]
__all__ += ["can_cast", "finfo", "iinfo", "isdtype", "result_type"]
__all__ += ["__array_api_version__", "__array_namespace_info__"]

__array_api_version__ = "2024.12"  # the edition of the standard that this package follows


class FloatInfo(NamedTuple):
    """Machine limits of a floating dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IntegerInfo(NamedTuple):
    """Machine limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def _dtype(x: Any) -> DType:
    """Dtype of an array, or the dtype itself."""
    return np.dtype(x if isinstance(x, type) else getattr(x, "dtype", x))


def finfo(type: Any, /) -> FloatInfo:
    """Machine limits of a floating dtype, or of a tensor's dtype.

    Raises:
        TypeError: it is not a floating dtype.

    Example:
        >>> import minigrad as mg
        >>> mg.finfo(mg.float64).eps
        2.220446049250313e-16
    """
    dtype = _dtype(type)
    if dtype.kind != "f":
        raise TypeError(f"type: expected a floating dtype, got {dtype}")
    info = np.finfo(dtype)
    return FloatInfo(
        int(info.bits), float(info.eps), float(info.max), float(info.min), float(info.smallest_normal), dtype
    )


def iinfo(type: Any, /) -> IntegerInfo:
    """Machine limits of an integer dtype, or of a tensor's dtype.

    Raises:
        TypeError: it is not an integer dtype.
    """
    dtype = _dtype(type)
    if dtype.kind not in "iu":
        raise TypeError(f"type: expected an integer dtype, got {dtype}")
    info = np.iinfo(dtype)
    return IntegerInfo(int(info.bits), int(info.max), int(info.min), dtype)


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """True if a dtype is of the given kind.

    Args:
        dtype: a dtype.
        kind: a dtype, ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``, ``"real floating"``,
            ``"complex floating"``, ``"numeric"``, or a tuple of these.
    """
    return builtins.bool(np.isdtype(np.dtype(dtype), kind))


def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """True if every value of a dtype, or of a tensor's dtype, can be represented in another dtype."""
    return builtins.bool(np.can_cast(_dtype(from_), np.dtype(to)))


def result_type(*arrays_and_dtypes: Any) -> DType:
    """Result dtype of type promotion among tensors, dtypes and Python numbers.

    Floats win over integers and keep their size (as in PyTorch, other than in NumPy); numbers adapt to arrays.

    Example:
        >>> import minigrad as mg
        >>> mg.result_type(mg.int64, mg.float32), mg.result_type(mg.int8, 1), mg.result_type(mg.int8, 1.0)
        (dtype('float32'), dtype('int8'), dtype('float32'))
    """
    if not arrays_and_dtypes:
        raise ValueError("result_type: expected at least one tensor, dtype or number, got none")
    numbers = [x for x in arrays_and_dtypes if isinstance(x, (builtins.bool, int, float))]
    given = [_dtype(x) for x in arrays_and_dtypes if not isinstance(x, (builtins.bool, int, float))]
    floats = [dtype for dtype in given if dtype.kind == "f"]
    if not floats and any(isinstance(number, float) for number in numbers):
        return float32
    return np.result_type(*floats) if floats else np.result_type(*given, *numbers)


def check_device(device: Any) -> None:
    """Raise ValueError unless the device is the CPU, or None for the default one."""
    if device not in (None, "cpu"):
        raise ValueError(f"device: expected 'cpu', got {device!r}")


class NamespaceInfo:
    """Namespace info of the Array API standard."""

    def capabilities(self) -> dict[str, Any]:
        """Optional features of the standard that are supported."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Literal["cpu"]:
        """Default device."""
        return "cpu"

    def devices(self) -> list[str]:
        """Available devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: Literal["cpu"] | None = None) -> dict[str, DType]:
        """Default dtypes of created arrays."""
        check_device(device)
        return {"real floating": float32, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Literal["cpu"] | None = None, kind: Any = None) -> dict[str, DType]:
        """Supported dtypes, or those of a kind (see :func:`isdtype`), by name."""
        check_device(device)
        return {dtype.name: dtype for dtype in ALL if kind is None or isdtype(dtype, kind)}


def __array_namespace_info__() -> NamespaceInfo:
    """Namespace info of the Array API standard."""
    return NamespaceInfo()
