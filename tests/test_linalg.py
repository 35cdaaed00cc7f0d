"""The public namespace: the Array API's ``linalg`` extension."""

from __future__ import annotations

import inspect

import array_api_strict as standard
import numpy as np
import pytest

import minigrad as mg
from minigrad import linalg

KEYWORD, POSITIONAL = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY
NAMES = [name for name in standard.linalg.__all__ if inspect.isfunction(getattr(standard.linalg, name))]


@pytest.mark.parametrize("name", NAMES)
def test_every_function_of_the_standard_is_there_with_its_parameters(name: str) -> None:
    wanted = inspect.signature(getattr(standard.linalg, name)).parameters.values()
    offered = inspect.signature(getattr(linalg, name)).parameters
    assert [p.name for p in wanted if p.kind is POSITIONAL] == [
        p.name for p in offered.values() if p.kind is POSITIONAL
    ]
    for parameter in wanted:
        if parameter.kind is KEYWORD:
            assert offered[parameter.name].default == parameter.default


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cholesky", {}),
        ("det", {}),
        ("diagonal", {"offset": 1}),
        ("eigh", {}),
        ("eigvalsh", {}),
        ("inv", {}),
        ("matrix_norm", {}),
        ("matrix_rank", {}),
        ("matrix_transpose", {}),
        ("pinv", {}),
        ("qr", {}),
        ("slogdet", {}),
        ("svd", {}),
        ("svdvals", {}),
        ("trace", {}),
        ("vector_norm", {"axis": (0, 1)}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_standards_names_dtypes_and_values(
    name: str, options: dict[str, object], dtype: str, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((2, 3, 3))
    x = (x @ x.mT + np.eye(3)).astype(dtype)
    expected = getattr(standard.linalg, name)(standard.asarray(x), **options)
    found = getattr(linalg, name)(mg.asarray(x), **options)
    assert getattr(found, "_fields", ()) == getattr(expected, "_fields", ())
    if not isinstance(expected, tuple):
        expected, found = (expected,), (found,)
    for e, f in zip(expected, found, strict=True):
        assert str(e.dtype).removeprefix("array_api_strict.") == str(f.dtype)
        np.testing.assert_allclose(f.numpy(), np.asarray(e), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_products_and_traces_of_integers_have_the_standards_dtypes(dtype: str) -> None:
    x = np.arange(4).reshape(2, 2).astype(dtype)
    for name in ("matmul", "tensordot", "vecdot"):
        expected = getattr(standard.linalg, name)(standard.asarray(x), standard.asarray(x))
        assert str(getattr(linalg, name)(mg.asarray(x), mg.asarray(x)).dtype) in str(expected.dtype)
    assert str(linalg.trace(mg.asarray(x)).dtype) in str(standard.linalg.trace(standard.asarray(x)).dtype)
