"""Dtype inspection: the Array API's functions, with PyTorch's promotion of integers beside floats."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

import minigrad as mg

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


@pytest.mark.parametrize(("one", "other"), list(itertools.product(DTYPES, DTYPES)))
def test_promotion_is_the_standards_wherever_the_standard_defines_it(one: str, other: str) -> None:
    ours = mg.result_type(getattr(mg, one), mg.ones(2, dtype=getattr(mg, other)))
    try:
        expected = array_api_strict.result_type(getattr(array_api_strict, one), getattr(array_api_strict, other))
    except TypeError:
        if "float" in one + other:
            assert ours == getattr(mg, one if "float" in one else other)
        return
    assert ours == getattr(mg, str(expected).rpartition(".")[2])
    assert mg.can_cast(getattr(mg, one), getattr(mg, other)) == array_api_strict.can_cast(
        getattr(array_api_strict, one), getattr(array_api_strict, other)
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((mg.int8, 1), mg.int8),
        ((mg.float64, 1.5), mg.float64),
        ((mg.int64, 1.5), mg.float32),
        ((mg.bool, 1), mg.int64),
        ((1.0,), mg.float32),
        ((mg.int64, mg.float32), mg.float32),
    ],
)
def test_python_numbers_adapt_to_arrays(arguments: tuple[Any, ...], expected: np.dtype[Any]) -> None:
    assert mg.result_type(*arguments) == expected


def test_promotion_says_what_arithmetic_does() -> None:
    for one, other in itertools.product(DTYPES[1:], DTYPES[1:]):
        a, b = mg.ones(1, dtype=getattr(mg, one)), mg.ones(1, dtype=getattr(mg, other))
        assert (a + b).dtype == mg.result_type(a, b)


def test_promotion_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="result_type"):
        mg.result_type()


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_limits_of_floats_are_python_numbers(dtype: np.dtype[Any]) -> None:
    info = mg.finfo(dtype)
    assert info == mg.finfo(mg.ones(1, dtype=dtype)) == mg.finfo(dtype.type)
    assert all(type(value) is float for value in (info.eps, info.max, info.min, info.smallest_normal))
    assert type(info.bits) is int and info.dtype == dtype
    assert info.eps == np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [mg.int8, mg.uint64])
def test_limits_of_integers_are_python_numbers(dtype: np.dtype[Any]) -> None:
    info = mg.iinfo(dtype)
    assert info == mg.iinfo(mg.ones(1, dtype=dtype))
    assert (info.min, info.max) == (np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert all(type(value) is int for value in (info.bits, info.max, info.min))


def test_limits_are_refused_to_the_other_kind() -> None:
    with pytest.raises(TypeError, match="floating"):
        mg.finfo(mg.int8)
    with pytest.raises(TypeError, match="integer"):
        mg.iinfo(mg.ones(1))


def test_kinds_of_dtypes() -> None:
    assert mg.isdtype(mg.int8, "signed integer") and mg.isdtype(mg.uint8, ("bool", "integral"))
    assert mg.isdtype(mg.float32, mg.float32) and not mg.isdtype(mg.bool, "numeric")


def test_the_namespace_describes_itself() -> None:
    info = mg.__array_namespace_info__()
    assert info.default_device() in info.devices()
    assert info.capabilities()["boolean indexing"] is True
    assert info.default_dtypes(device="cpu")["real floating"] == mg.ones(1).dtype
    assert info.default_dtypes()["indexing"] == mg.argmax(mg.ones(2)).dtype
    assert set(info.dtypes()) == set(DTYPES)
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", "float32", "float64"}
    with pytest.raises(ValueError, match="device"):
        info.dtypes(device="gpu")  # type: ignore[arg-type]


NOT_SUPPORTED = ["float16", "longdouble", "complex64", "datetime64[s]", "timedelta64[s]", "S3", "U3", "V4", "object"]


@pytest.mark.parametrize("dtype", NOT_SUPPORTED)
def test_a_dtype_that_tensors_cannot_have_is_refused_when_one_is_made(dtype: str) -> None:
    array = np.zeros(2, dtype)
    makers: list[Callable[[], Any]] = [
        lambda: mg.tensor(array),
        lambda: mg.asarray(array),
        lambda: mg.Tensor(array),
        lambda: mg.relu(array),
        lambda: mg.zeros(2, dtype=dtype),
        lambda: mg.ones(2).astype(dtype),
    ]
    for make in makers:
        with pytest.raises(TypeError, match=r"^(obj|data|x|dtype): expected a boolean, integer, float32 or float64"):
            make()


@pytest.mark.parametrize("kind", ["i2", "i4", "i8", "u2", "u4", "u8", "f4", "f8"])
def test_arrays_of_either_byte_order_are_tensors_in_the_machines(kind: str) -> None:
    values = np.array([1, 2, 3], kind)
    for order in "<>":
        array = values.astype(order + kind)
        for tensor in (
            mg.tensor(array),
            mg.asarray(array),
            mg.add(array, 0),
            mg.ones(3, dtype=order + kind) * 0 + array,
        ):
            assert tensor.dtype == values.dtype
            assert tensor.dtype.isnative
            assert tensor.tolist() == [1, 2, 3]
        assert mg.relu(mg.tensor(array)).tolist() == [1, 2, 3]


def test_an_integer_that_no_tensor_holds_is_not_called_a_dtype() -> None:
    with pytest.raises(OverflowError, match="outside the range of 64 bits"):
        mg.tensor([2**70])
    with pytest.raises(TypeError, match="got object"):
        mg.tensor(np.array([1, 2], object))
