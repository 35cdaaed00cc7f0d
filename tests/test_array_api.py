"""Conformance with the Python Array API standard, 2024.12: names, signatures, dtypes, values.

The reference is ``array_api_strict``, which has nothing but the standard. What is missing here is what only complex
numbers need: their dtypes.
"""

from __future__ import annotations

import inspect
import itertools
import math
import operator
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import minigrad as mg

VERSION = "2024.12"


@pytest.fixture(autouse=True)
def _version() -> Iterator[None]:
    strict.set_array_api_strict_flags(api_version=VERSION)
    yield
    strict.reset_array_api_strict_flags()


EXTENSIONS = ("linalg", "fft")
NOT_IN_THE_STANDARD = {name for name in strict.__all__ if "strict_flags" in name} | {"Device", "ArrayAPIStrictFlags"}
COMPLEX = {"complex64", "complex128"}
DTYPES = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float32", "float64")
FUNCTIONS = {
    **{
        name: getattr(strict, name)
        for name in strict.__all__
        if callable(getattr(strict, name)) and name not in NOT_IN_THE_STANDARD and name[0].islower()
    },
    **{f"linalg.{name}": getattr(strict.linalg, name) for name in strict.linalg.__all__},
}
METHODS = {
    name: method
    for name, method in vars(type(strict.asarray(0))).items()
    if inspect.isfunction(method) and (not name.startswith("_") or (name.startswith("__") and name.endswith("__")))
}
FROM_OBJECT = ("__new__", "__repr__", "__str__", "__hash__", "__init_subclass__", "__array__", "__buffer__")


def _find(namespace: Any, name: str) -> Any:
    return operator.attrgetter(name)(namespace)


def _plain(value: Any) -> Any:
    """A result of either library as NumPy's arrays and Python's values, in which dtypes have names."""
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, mg.Tensor):
        return value.numpy()
    if isinstance(value, type(strict.asarray(0))):
        return np.from_dlpack(value) if value.ndim else np.asarray(_scalar(value), str(value.dtype).split(".")[-1])
    return value


def _scalar(value: Any) -> Any:
    convert: Callable[[Any], Any] = {"bool": bool, "float": float}.get(
        str(value.dtype).split(".")[-1].rstrip("3264"), int
    )
    return convert(value)


def _assert_same(found: Any, expected: Any, exact: bool = False) -> None:
    found, expected = _plain(found), _plain(expected)
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_same(one, other, exact)
    elif isinstance(expected, np.ndarray):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        tolerance = 0 if exact or expected.dtype.kind != "f" else 64 * np.finfo(expected.dtype).eps
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    else:
        assert found == expected


# Names


@pytest.mark.parametrize("name", sorted(set(strict.__all__) - NOT_IN_THE_STANDARD - COMPLEX - set(EXTENSIONS)))
def test_every_name_of_the_standard_is_there(name: str) -> None:
    assert hasattr(mg, name)


@pytest.mark.parametrize("name", sorted(strict.linalg.__all__))
def test_every_name_of_the_linear_algebra_extension_is_there(name: str) -> None:
    assert hasattr(mg.linalg, name)


@pytest.mark.parametrize(
    "name",
    sorted(
        {name for name in dir(strict.asarray(0)) if not name.startswith("_")}
        | {name for name in METHODS if name not in FROM_OBJECT}
    ),
)
def test_every_method_and_attribute_of_the_array_object_is_there(name: str) -> None:
    assert hasattr(mg.Tensor, name)


def test_constants_are_the_standards() -> None:
    assert (mg.e, mg.pi, mg.inf) == (math.e, math.pi, math.inf)
    assert math.isnan(mg.nan)
    assert mg.newaxis is None
    assert mg.__array_api_version__ == VERSION


# Signatures


def _parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _check_signature(ours: Any, theirs: Any, *, method: bool = False) -> None:
    found, expected = _parameters(ours)[method:], _parameters(theirs)[method:]
    by_name = {parameter.name: parameter for parameter in found}
    if any(p.kind is p.VAR_POSITIONAL for p in found):
        by_position = [p for p in found if p.kind is p.VAR_POSITIONAL] * len(expected)
    else:
        by_position = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for position, parameter in enumerate(expected):
        if parameter.kind is parameter.VAR_POSITIONAL:
            assert by_position[position].kind is parameter.VAR_POSITIONAL
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY or parameter.default is parameter.empty:
            own = by_position[position]
        else:
            own = by_name[parameter.name]
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            assert own.name == parameter.name
            assert own.kind in (own.KEYWORD_ONLY, own.POSITIONAL_OR_KEYWORD)
        if parameter.default is not parameter.empty and "Undef" not in repr(parameter.default):
            assert own.default == parameter.default
    optional = [p.name for p in found if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert len(optional) <= len(expected)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"finfo", "iinfo"}))
def test_every_function_takes_the_standards_arguments(name: str) -> None:
    _check_signature(_find(mg, name), FUNCTIONS[name])


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(FROM_OBJECT)))
def test_every_method_takes_the_standards_arguments(name: str) -> None:
    _check_signature(getattr(mg.Tensor, name), METHODS[name], method=True)


# Dtypes: of every function of one or two arrays, of every operator, for all pairs of dtypes

UNARY = [
    name for name, f in FUNCTIONS.items() if f.__module__.endswith("elementwise_functions") and len(_parameters(f)) == 1
]
BINARY = [
    name for name, f in FUNCTIONS.items() if f.__module__.endswith("elementwise_functions") and len(_parameters(f)) == 2
]
OPERATORS = {
    **{f"__{name}__": getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")},
    **{f"__{name}__": getattr(operator, name) for name in ("lshift", "rshift", "matmul")},
    **{
        f"__{name}__": getattr(operator, f"{name}_" if name in ("and", "or") else name) for name in ("and", "or", "xor")
    },
    **{f"__{name}__": getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}
IN_PLACE = {
    f"__i{name}__": getattr(operator, f"i{name}")
    for name in (
        *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "matmul", "and", "or", "xor"),
    )
}
SAMPLE = {
    "b": [[True, False], [True, True]],
    "i": [[1, 2], [3, 0]],
    "u": [[1, 2], [3, 0]],
    "f": [[0.5, 2.0], [0.25, -1.0]],
}


def _sample(xp: ModuleType, dtype: str) -> Any:
    return xp.asarray(SAMPLE[np.dtype(dtype).kind], dtype=getattr(xp, dtype))


def _compare(call: Callable[[ModuleType], Any], exact: bool = False) -> bool:
    """Compare with the reference, if it allows the call; returns True if so."""
    with np.errstate(all="ignore"):
        try:
            expected = call(strict)
        except (TypeError, ValueError):
            return False  # what the standard does not allow may be anything
        _assert_same(call(mg), expected, exact)
        return True


@pytest.mark.parametrize("name", sorted(set(UNARY) - {"imag"}))  # which the standard has for complex numbers only
def test_functions_of_one_array_give_the_standards_dtypes_and_values(name: str) -> None:
    assert sum(_compare(lambda xp, d=dtype: _find(xp, name)(_sample(xp, d))) for dtype in DTYPES)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays_give_the_standards_dtypes_and_values(name: str) -> None:
    pairs = itertools.product(DTYPES, DTYPES)
    assert sum(_compare(lambda xp, a=a, b=b: _find(xp, name)(_sample(xp, a), _sample(xp, b).T)) for a, b in pairs)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_give_the_standards_dtypes_and_values(name: str) -> None:
    operation, pairs = OPERATORS[name], itertools.product(DTYPES, DTYPES)
    assert sum(_compare(lambda xp, a=a, b=b: operation(_sample(xp, a), _sample(xp, b).T)) for a, b in pairs)


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - {"__matmul__"}))
@pytest.mark.parametrize("scalar", [True, 2, 0.5], ids=str)
def test_operators_keep_the_dtype_beside_pythons_numbers(name: str, scalar: Any) -> None:
    for dtype in DTYPES:
        _compare(lambda xp, d=dtype: OPERATORS[name](_sample(xp, d), scalar))
        _compare(lambda xp, d=dtype: OPERATORS[name](scalar, _sample(xp, d)))


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_operators_change_the_array_and_keep_its_dtype(name: str) -> None:
    def change(xp: ModuleType, a: str, b: str) -> Any:
        x = xp.asarray(_sample(xp, a), copy=True)
        changed = IN_PLACE[name](x, _sample(xp, b))
        assert changed is x or xp is strict
        return changed

    pairs = itertools.product(DTYPES, DTYPES)
    assert sum(_compare(lambda xp, a=a, b=b: change(xp, a, b)) for a, b in pairs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_special_values_of_one_argument_are_the_standards(name: str, dtype: str) -> None:
    values = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 1e30, -1e-30]
    _compare(lambda xp: _signed(xp, _find(xp, name)(xp.asarray(values, dtype=getattr(xp, dtype)))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_special_values_of_two_arguments_are_the_standards(name: str, dtype: str) -> None:
    values = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 4.0, 1e30]

    def call(xp: ModuleType) -> Any:
        x = xp.asarray(values, dtype=getattr(xp, dtype))
        return _signed(xp, _find(xp, name)(x[:, None], x[None, :]))

    _compare(call)


def _signed(xp: ModuleType, result: Any) -> Any:
    """A result and the signs of its zeros, which compare as equal."""
    if not xp.isdtype(result.dtype, "real floating"):
        return result
    return result, xp.signbit(xp.where(xp.isnan(result), xp.zeros_like(result), result))


# Values of all other functions on small inputs

Call = Callable[[Any, Any, Any], Any]  # of a namespace, a (2, 3) array of floats, and a (2, 3) array of integers
CALLS: dict[str, list[Call]] = {
    "arange": [
        lambda xp, x, n: xp.arange(5),
        lambda xp, x, n: xp.arange(1, stop=9, step=3),
        lambda xp, x, n: xp.arange(5, 1, -2, dtype=xp.int8),
        lambda xp, x, n: xp.arange(0.5, 2.5, 0.5, dtype=xp.float64),
        lambda xp, x, n: xp.arange(3, 1),
    ],
    "asarray": [
        lambda xp, x, n: xp.asarray([[1, 2], [3, 4]], dtype=xp.float32),
        lambda xp, x, n: xp.asarray(True),
        lambda xp, x, n: xp.asarray(x, copy=True),
    ],
    "eye": [lambda xp, x, n: xp.eye(2, 3, k=1, dtype=xp.int16), lambda xp, x, n: xp.eye(2, dtype=xp.float64)],
    "full": [lambda xp, x, n: xp.full((2,), 3), lambda xp, x, n: xp.full(2, True)],
    "full_like": [lambda xp, x, n: xp.full_like(x, 3), lambda xp, x, n: xp.full_like(n, 1, dtype=xp.bool)],
    "linspace": [
        lambda xp, x, n: xp.linspace(0, 1, 4, dtype=xp.float64),
        lambda xp, x, n: xp.linspace(1, -1, num=3, dtype=xp.float64, endpoint=False),
    ],
    "meshgrid": [
        lambda xp, x, n: xp.meshgrid(x[0, :], x[:, 0]),
        lambda xp, x, n: xp.meshgrid(x[0, :], x[1, :], indexing="ij"),
    ],
    "ones": [lambda xp, x, n: xp.ones((2, 0), dtype=xp.uint8)],
    "ones_like": [lambda xp, x, n: xp.ones_like(x), lambda xp, x, n: xp.ones_like(x, dtype=xp.int8)],
    "tril": [lambda xp, x, n: xp.tril(x), lambda xp, x, n: xp.tril(n, k=1)],
    "triu": [lambda xp, x, n: xp.triu(x), lambda xp, x, n: xp.triu(n, k=-1)],
    "zeros": [lambda xp, x, n: xp.zeros(3, dtype=xp.float64)],
    "zeros_like": [lambda xp, x, n: xp.zeros_like(n)],
    "astype": [lambda xp, x, n: xp.astype(x, xp.int32), lambda xp, x, n: xp.astype(n, xp.bool, copy=False)],
    "broadcast_arrays": [lambda xp, x, n: list(xp.broadcast_arrays(x[:, :1], n[0, :]))],
    "broadcast_to": [lambda xp, x, n: xp.broadcast_to(x, (4, 2, 3))],
    "can_cast": [lambda xp, x, n: [xp.can_cast(xp.int8, xp.int16), xp.can_cast(xp.float64, xp.float32)]],
    "isdtype": [
        lambda xp, x, n: [xp.isdtype(x.dtype, kind) for kind in ("real floating", "integral", "numeric", "bool")],
        lambda xp, x, n: [xp.isdtype(n.dtype, (xp.int8, "signed integer")), xp.isdtype(xp.uint8, "unsigned integer")],
        lambda xp, x, n: xp.isdtype(xp.float64, "complex floating"),
    ],
    "result_type": [
        lambda xp, x, n: xp.zeros(1, dtype=xp.result_type(xp.int8, xp.uint8)),
        lambda xp, x, n: xp.zeros(1, dtype=xp.result_type(x, xp.float32)),
        lambda xp, x, n: xp.zeros(1, dtype=xp.result_type(xp.asarray(1, dtype=xp.int8), 5)),
    ],
    "matmul": [lambda xp, x, n: xp.matmul(x, x.T), lambda xp, x, n: xp.matmul(n, n[0, :])],
    "matrix_transpose": [lambda xp, x, n: xp.matrix_transpose(x)],
    "tensordot": [
        lambda xp, x, n: xp.tensordot(x, x.T, axes=1),
        lambda xp, x, n: xp.tensordot(x, x, axes=((0,), (0,))),
    ],
    "vecdot": [lambda xp, x, n: xp.vecdot(x, x), lambda xp, x, n: xp.vecdot(n, n, axis=-2)],
    "concat": [lambda xp, x, n: xp.concat([x, x[:1, :]]), lambda xp, x, n: xp.concat([n, n], axis=None)],
    "expand_dims": [lambda xp, x, n: xp.expand_dims(x, axis=-1)],
    "flip": [lambda xp, x, n: xp.flip(x), lambda xp, x, n: xp.flip(x, axis=(0,)), lambda xp, x, n: xp.flip(n, axis=-1)],
    "moveaxis": [lambda xp, x, n: xp.moveaxis(x, 0, -1), lambda xp, x, n: xp.moveaxis(x, (0, 1), (1, 0))],
    "permute_dims": [lambda xp, x, n: xp.permute_dims(x, (1, 0))],
    "repeat": [
        lambda xp, x, n: xp.repeat(x, 2),
        lambda xp, x, n: xp.repeat(x, xp.asarray([2, 0, 1]), axis=1),
    ],
    "reshape": [lambda xp, x, n: xp.reshape(x, (3, -1)), lambda xp, x, n: xp.reshape(x, (6,), copy=True)],
    "roll": [lambda xp, x, n: xp.roll(x, 1), lambda xp, x, n: xp.roll(x, (1, -1), axis=(0, 1))],
    "squeeze": [lambda xp, x, n: xp.squeeze(x[:1, :], axis=0)],
    "stack": [lambda xp, x, n: xp.stack([x, x], axis=-1)],
    "tile": [lambda xp, x, n: xp.tile(x, (2, 1, 2))],
    "unstack": [lambda xp, x, n: xp.unstack(x), lambda xp, x, n: xp.unstack(x, axis=1)],
    "argmax": [lambda xp, x, n: xp.argmax(x), lambda xp, x, n: xp.argmax(x, axis=1, keepdims=True)],
    "argmin": [lambda xp, x, n: xp.argmin(n), lambda xp, x, n: xp.argmin(x, axis=-2)],
    "count_nonzero": [
        lambda xp, x, n: xp.count_nonzero(n),
        lambda xp, x, n: xp.count_nonzero(n, axis=1, keepdims=True),
    ],
    "nonzero": [lambda xp, x, n: xp.nonzero(n)],
    "searchsorted": [
        lambda xp, x, n: xp.searchsorted(xp.asarray([1.0, 2.0, 3.0], dtype=xp.float64), x[0, :], side="right"),
        lambda xp, x, n: xp.searchsorted(xp.asarray([3.0, 1.0], dtype=xp.float64), x[0, :], sorter=xp.asarray([1, 0])),
    ],
    "where": [lambda xp, x, n: xp.where(x > 0, x, -x), lambda xp, x, n: xp.where(n > 0, x, 0.0)],
    "unique_all": [lambda xp, x, n: tuple(xp.unique_all(n))],
    "unique_counts": [lambda xp, x, n: tuple(xp.unique_counts(n))],
    "unique_inverse": [lambda xp, x, n: tuple(xp.unique_inverse(n))],
    "unique_values": [lambda xp, x, n: xp.unique_values(n)],
    "argsort": [lambda xp, x, n: xp.argsort(n), lambda xp, x, n: xp.argsort(n, axis=0, descending=True)],
    "sort": [lambda xp, x, n: xp.sort(x), lambda xp, x, n: xp.sort(n, axis=0, descending=True, stable=False)],
    "cumulative_sum": [
        lambda xp, x, n: xp.cumulative_sum(x[0, :]),
        lambda xp, x, n: xp.cumulative_sum(n, axis=1, dtype=xp.float64, include_initial=True),
    ],
    "cumulative_prod": [lambda xp, x, n: xp.cumulative_prod(x, axis=0, include_initial=True)],
    "max": [lambda xp, x, n: xp.max(x), lambda xp, x, n: xp.max(n, axis=(0, 1), keepdims=True)],
    "mean": [lambda xp, x, n: xp.mean(x), lambda xp, x, n: xp.mean(x, axis=1, keepdims=True)],
    "min": [lambda xp, x, n: xp.min(x, axis=0), lambda xp, x, n: xp.min(n)],
    "prod": [lambda xp, x, n: xp.prod(x), lambda xp, x, n: xp.prod(n, axis=0, dtype=xp.int32, keepdims=True)],
    "std": [lambda xp, x, n: xp.std(x), lambda xp, x, n: xp.std(x, axis=1, correction=1.0, keepdims=True)],
    "sum": [lambda xp, x, n: xp.sum(xp.astype(n, xp.uint8)), lambda xp, x, n: xp.sum(x, axis=(1, 0), dtype=xp.float32)],
    "var": [lambda xp, x, n: xp.var(x, axis=0), lambda xp, x, n: xp.var(x, correction=1)],
    "take": [
        lambda xp, x, n: xp.take(x, xp.asarray([1, 0]), axis=0),
        lambda xp, x, n: xp.take(x[0, :], xp.asarray([2])),
    ],
    "take_along_axis": [lambda xp, x, n: xp.take_along_axis(x, xp.argsort(x, axis=0), axis=0)],
    "all": [lambda xp, x, n: xp.all(n), lambda xp, x, n: xp.all(n, axis=1, keepdims=True)],
    "any": [lambda xp, x, n: xp.any(n), lambda xp, x, n: xp.any(n, axis=(0,))],
    "diff": [
        lambda xp, x, n: xp.diff(x),
        lambda xp, x, n: xp.diff(x, axis=0, n=2, prepend=x, append=xp.zeros((1, 3), dtype=xp.float64)),
    ],
    "clip": [
        lambda xp, x, n: xp.clip(x, -1, 1),
        lambda xp, x, n: xp.clip(x, max=xp.zeros_like(x)),
        lambda xp, x, n: xp.clip(n),
    ],
    "linalg.cholesky": [lambda xp, x, n: xp.linalg.cholesky(_definite(xp, x), upper=True)],
    "linalg.cross": [
        lambda xp, x, n: xp.linalg.cross(x, x + 1),
        lambda xp, x, n: xp.linalg.cross(x.T, x.T + 1, axis=-2),
    ],
    "linalg.det": [lambda xp, x, n: xp.linalg.det(_definite(xp, x))],
    "linalg.diagonal": [lambda xp, x, n: xp.linalg.diagonal(x), lambda xp, x, n: xp.linalg.diagonal(x, offset=1)],
    "linalg.eigvalsh": [lambda xp, x, n: xp.linalg.eigvalsh(_definite(xp, x))],
    "linalg.inv": [lambda xp, x, n: xp.linalg.inv(_definite(xp, x))],
    "linalg.matmul": [lambda xp, x, n: xp.linalg.matmul(x, x.T)],
    "linalg.matrix_norm": [
        lambda xp, x, n: [xp.linalg.matrix_norm(x, ord=o) for o in ("fro", "nuc", 1, -1, 2, -2, xp.inf)]
    ],
    "linalg.matrix_power": [lambda xp, x, n: [xp.linalg.matrix_power(_definite(xp, x), k) for k in (-2, 0, 3)]],
    "linalg.matrix_rank": [
        lambda xp, x, n: xp.linalg.matrix_rank(x),
        lambda xp, x, n: xp.linalg.matrix_rank(x, rtol=0.5),
    ],
    "linalg.matrix_transpose": [lambda xp, x, n: xp.linalg.matrix_transpose(x)],
    "linalg.outer": [lambda xp, x, n: xp.linalg.outer(x[0, :], x[1, :])],
    "linalg.pinv": [lambda xp, x, n: xp.linalg.pinv(x), lambda xp, x, n: xp.linalg.pinv(x, rtol=0.5)],
    "linalg.slogdet": [lambda xp, x, n: tuple(xp.linalg.slogdet(_definite(xp, x)))],
    "linalg.solve": [
        lambda xp, x, n: xp.linalg.solve(_definite(xp, x), x[:, 0]),
        lambda xp, x, n: xp.linalg.solve(_definite(xp, x), x),
    ],
    "linalg.svdvals": [lambda xp, x, n: xp.linalg.svdvals(x)],
    "linalg.tensordot": [lambda xp, x, n: xp.linalg.tensordot(x, x)],
    "linalg.trace": [lambda xp, x, n: xp.linalg.trace(x), lambda xp, x, n: xp.linalg.trace(n, offset=1, dtype=xp.int8)],
    "linalg.vecdot": [lambda xp, x, n: xp.linalg.vecdot(x, x)],
    "linalg.vector_norm": [
        *(lambda xp, x, n, o=o: xp.linalg.vector_norm(x, axis=1, ord=o) for o in (2, 1, 0, 3, math.inf, -math.inf)),
        lambda xp, x, n: xp.linalg.vector_norm(x, keepdims=True),
    ],
    # Several answers are right: what they are parts of is compared.
    "linalg.eigh": [lambda xp, x, n: _recomposed(*xp.linalg.eigh(_definite(xp, x)))],
    "linalg.qr": [lambda xp, x, n: operator.matmul(*xp.linalg.qr(x.T, mode="reduced"))],
    "linalg.svd": [lambda xp, x, n: _product(*xp.linalg.svd(x, full_matrices=False))],
}
WITHOUT_VALUES = {
    *("empty", "empty_like", "from_dlpack", "finfo", "iinfo"),  # tested below
    *("broadcast_shapes", "isin"),  # of the next version
}


def _definite(xp: ModuleType, x: Any) -> Any:
    return x @ x.T + xp.eye(2, dtype=xp.float64)


def _recomposed(values: Any, vectors: Any) -> Any:
    return vectors @ (values[:, None] * vectors.T)


def _product(u: Any, s: Any, vh: Any) -> Any:
    return u @ (s[:, None] * vh)


def test_every_function_is_compared() -> None:
    assert set(FUNCTIONS) == {*UNARY, *BINARY, *CALLS, *WITHOUT_VALUES} | {"clip"}


@pytest.mark.parametrize("name", CALLS)
def test_functions_give_the_standards_values(name: str) -> None:
    floats, integers = [[2.0, -1.5, 0.5], [1.0, 4.0, -3.0]], [[3, 1, 3], [0, 2, 1]]
    for call in CALLS[name]:

        def on(xp: ModuleType, call: Call = call) -> Any:
            return call(xp, xp.asarray(floats, dtype=xp.float64), xp.asarray(integers, dtype=xp.int64))

        assert _compare(on)


@pytest.mark.parametrize(
    "name",
    [
        *("unique_all", "unique_counts", "unique_inverse"),
        *("linalg.eigh", "linalg.qr", "linalg.slogdet", "linalg.svd"),
    ],
)
def test_several_results_have_the_standards_names(name: str) -> None:
    found, expected = (_find(xp, name)(xp.asarray([[2.0, 0.5], [0.5, 1.0]])) for xp in (mg, strict))
    assert found._fields == expected._fields


# The array object


def test_arrays_know_their_namespace_and_their_device() -> None:
    x = mg.ones((2, 3))
    assert x.__array_namespace__() is x.__array_namespace__(api_version=VERSION) is mg
    assert x.device == "cpu"
    assert x.to_device("cpu") is x
    assert x.__dlpack_device__() == (1, 0)
    assert (x.shape, x.ndim, x.size, x.T.shape, x.mT.shape) == ((2, 3), 2, 6, (3, 2), (3, 2))
    with pytest.raises(ValueError, match="device"):
        x.to_device("cuda")
    with pytest.raises(ValueError, match="api_version"):
        x.__array_namespace__(api_version="1999.12")


def test_arrays_of_one_element_are_pythons_numbers() -> None:
    assert bool(mg.asarray(True)) is True
    assert int(mg.asarray(3)) == operator.index(mg.asarray(3)) == 3
    assert float(mg.asarray(0.5)) == 0.5
    assert complex(mg.asarray(0.5)) == 0.5
    assert range(5)[mg.asarray(2)] == 2
    for convert in (bool, int, float, complex, operator.index):
        with pytest.raises((TypeError, ValueError)):
            convert(mg.asarray([1, 2]))
    with pytest.raises(TypeError):
        operator.index(mg.asarray(1.0))


@given(data=st.data())
def test_hypothesis_draws_arrays_of_the_standard_and_their_elements_can_be_set(data: st.DataObject) -> None:
    xps = make_strategies_namespace(mg, api_version=VERSION)  # type: ignore[arg-type]
    dtype = data.draw(st.sampled_from([getattr(mg, name) for name in DTYPES]))
    x = data.draw(xps.arrays(dtype, xps.array_shapes()))
    index = data.draw(xps.indices(x.shape, allow_newaxis=True))
    np.testing.assert_array_equal(x[index].numpy(), x.numpy()[index])
    place = data.draw(xps.indices(x.shape, max_dims=0, allow_ellipsis=False))
    changed, value = mg.asarray(x, copy=True), data.draw(xps.from_dtype(dtype))
    changed[place] = value
    expected = x.numpy().copy()
    expected[place] = value
    np.testing.assert_array_equal(changed.numpy(), expected)


@given(data=st.data())
def test_arrays_are_exchanged_by_dlpack(data: st.DataObject) -> None:
    xps = make_strategies_namespace(mg, api_version=VERSION)  # type: ignore[arg-type]
    x = data.draw(xps.arrays(data.draw(st.sampled_from([getattr(mg, name) for name in DTYPES])), (2,)))
    version = data.draw(st.sampled_from([None, (0, 5), (1, 0), (2, 0)]))
    copy = data.draw(st.sampled_from([None, True, False]))
    x.__dlpack__(max_version=version, dl_device=data.draw(st.sampled_from([None, (1, 0)])), copy=copy)
    np.testing.assert_array_equal(mg.from_dlpack(x, copy=copy, device="cpu").numpy(), x.numpy())


# Dtypes and what a namespace tells about itself


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_finfo_of_floats(name: str) -> None:
    for given_ in (getattr(mg, name), mg.ones(1, dtype=getattr(mg, name))):
        found, expected = mg.finfo(given_), np.finfo(name)
        assert found.dtype == getattr(mg, name)
        assert isinstance(found.bits, int)
        assert found.bits == expected.bits
        for attribute in ("eps", "max", "min", "smallest_normal"):
            assert isinstance(getattr(found, attribute), float)
            assert getattr(found, attribute) == getattr(expected, attribute)


@pytest.mark.parametrize("name", [name for name in DTYPES if "int" in name])
def test_iinfo_of_integers(name: str) -> None:
    for given_ in (getattr(mg, name), mg.ones(1, dtype=getattr(mg, name))):
        found, expected = mg.iinfo(given_), np.iinfo(name)
        assert found.dtype == getattr(mg, name)
        for attribute in ("bits", "max", "min"):
            assert isinstance(getattr(found, attribute), int)
            assert getattr(found, attribute) == getattr(expected, attribute)


def test_the_namespace_info_has_the_capabilities() -> None:
    info = mg.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}
    assert info.default_device() == "cpu"
    assert info.devices() == ["cpu"]
    assert info.default_dtypes()["real floating"] == mg.float32
    assert info.default_dtypes(device="cpu")["integral"] == info.default_dtypes()["indexing"] == mg.int64


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating"),
        *("numeric", ("bool", "real floating")),
    ],
    ids=str,
)
def test_the_namespace_lists_its_dtypes_by_kind(kind: Any) -> None:
    found = mg.__array_namespace_info__().dtypes(kind=kind, device="cpu")
    expected = set(strict.__array_namespace_info__().dtypes(kind=kind)) - COMPLEX
    assert set(found) == expected
    assert all(found[name] == getattr(mg, name) for name in found)
