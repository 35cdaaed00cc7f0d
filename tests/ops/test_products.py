"""Products: their values and dtypes are NumPy's, their derivatives agree with differences, twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.func import vmap
from minigrad.testing import gradcheck

Shapes = tuple[tuple[int, ...], tuple[int, ...]]

SHAPES: dict[str, list[Shapes]] = {
    "matmul": [
        ((2, 3), (3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 2, 3), (3, 4)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
    ],
    "dot": [((), (2,)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (4, 3, 2))],
    "inner": [((2,), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 2, 3), (4, 3))],
    "outer": [((3,), (2,)), ((2, 3), (2,)), ((), (2,))],
    "kron": [((3,), (2,)), ((2, 3), (2,)), ((2,), (3, 2, 2)), ((), (2, 1))],
    "vdot": [((4,), (4,)), ((2, 3), (3, 2))],
    "vecdot": [((3,), (3,)), ((2, 1, 3), (4, 3)), ((3,), (2, 3))],
    "cross": [((3,), (3,)), ((2, 1, 3), (4, 3)), ((3,), (2, 3))],
    "tensordot": [((2, 3), (2, 3)), ((4, 2, 3), (2, 3, 5))],
}
CASES = [(name, *pair) for name, pairs in SHAPES.items() for pair in pairs]
EMPTY = [("matmul", (2, 0), (0, 3)), ("matmul", (0, 2, 3), (3, 4)), ("tensordot", (2, 0, 3), (0, 3, 4))]
EMPTY += [("vecdot", (2, 0), (2, 0)), ("kron", (0, 2), (3,)), ("cross", (0, 3), (3,)), ("outer", (0,), (2,))]


@pytest.mark.parametrize(("name", "left", "right"), CASES + EMPTY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint16, np.int64])
def test_values_and_dtypes_are_numpys(
    name: str, left: tuple[int, ...], right: tuple[int, ...], dtype: type, rng: np.random.Generator
) -> None:
    a, b = (rng.integers(0, 5, shape).astype(dtype) for shape in (left, right))
    expected = getattr(np, name)(a, b)
    for order in ("C", "F"):
        found = getattr(mg, name)(mg.asarray(np.asarray(a, order=order)), mg.asarray(np.asarray(b, order=order)))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(("name", "left", "right"), CASES)
def test_derivatives_agree_with_differences_to_second_order(
    name: str, left: tuple[int, ...], right: tuple[int, ...], rng: np.random.Generator
) -> None:
    assert gradcheck(getattr(mg, name), (rng.standard_normal(left), rng.standard_normal(right)), order=2)


@pytest.mark.parametrize(("name", "left", "right"), CASES)
def test_products_run_over_batches_the_code_does_not_see(
    name: str, left: tuple[int, ...], right: tuple[int, ...], rng: np.random.Generator
) -> None:
    product = getattr(mg, name)
    a, b = mg.asarray(rng.standard_normal((4, *left))), mg.asarray(rng.standard_normal(right))
    expected = mg.stack([product(a[i], b) for i in range(4)])
    np.testing.assert_allclose(vmap(product, (0, None))(a, b).numpy(), expected.numpy(), rtol=1e-12)


AXES: list[tuple[Shapes, Any]] = [
    (((2, 3), (3, 4)), 1),
    (((2,), (3,)), 0),
    (((2, 3, 4), (4, 2, 3)), ((0, 2), (1, 0))),
    (((2, 3, 4), (4, 2, 3)), ((-1, 0), (0, 1))),
    (((2, 3), (3, 3)), (1, 0)),
    (((), ()), 0),
]


@pytest.mark.parametrize(("shapes", "axes"), AXES)
def test_tensordot_takes_axes_as_numpy_does(shapes: Shapes, axes: Any, rng: np.random.Generator) -> None:
    a, b = (rng.standard_normal(shape) for shape in shapes)
    np.testing.assert_allclose(mg.tensordot(a, b, axes=axes).numpy(), np.tensordot(a, b, axes), rtol=1e-12)
    assert gradcheck(lambda a, b: mg.tensordot(a, b, axes=axes), (a, b), order=2)


@pytest.mark.parametrize("name", ["vecdot", "cross"])
@pytest.mark.parametrize(("left", "right", "axis"), [((3, 2), (3, 1), 0), ((2, 3, 5), (3, 1), -2), ((3,), (2, 3), -1)])
def test_vectors_may_lie_along_any_axis(
    name: str, left: tuple[int, ...], right: tuple[int, ...], axis: int, rng: np.random.Generator
) -> None:
    a, b = rng.standard_normal(left), rng.standard_normal(right)
    expected = getattr(np.linalg, name)(a, b, axis=axis)
    np.testing.assert_allclose(getattr(mg, name)(a, b, axis=axis).numpy(), expected, rtol=1e-12)
    assert gradcheck(lambda a, b: getattr(mg, name)(a, b, axis=axis), (a, b), order=2)


@pytest.mark.parametrize("name", ["matmul", "vecdot", "outer", "kron", "inner", "dot", "cross"])
def test_dtypes_are_promoted_and_float32_stays(name: str) -> None:
    product = getattr(mg, name)
    whole, single, double = (mg.ones(3, dtype=dtype) for dtype in (mg.int32, mg.float32, mg.float64))
    assert product(whole, single).dtype == mg.float32
    assert product(single, double).dtype == mg.float64
    assert product(whole, mg.ones(3, dtype=mg.int64)).dtype == mg.int64
    single.requires_grad_()
    product(single, double).sum().backward()
    assert single.grad is not None and single.grad.dtype == mg.float32


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: mg.ones((2, 3)) @ mg.ones((2, 3)), r"inner sizes of \(2, 3\) and \(2, 3\) differ"),
    (lambda: mg.matmul(mg.ones(()), mg.ones(3)), "at least 1 dimension"),
    (lambda: mg.matmul(mg.ones((2, 2, 2)), mg.ones((3, 2, 2))), "broadcast"),
    (
        lambda: mg.tensordot(mg.ones((2, 3)), mg.ones((2, 3)), axes=1),
        r"axes: the contracted axes of \(2, 3\) and \(2, 3\)",
    ),
    (lambda: mg.tensordot(mg.ones(2), mg.ones(2), axes=2), "axes: expected 0 to 1"),
    (lambda: mg.tensordot(mg.ones(2), mg.ones(2), axes=-1), "axes: expected 0 to 1"),
    (lambda: mg.tensordot(mg.ones(2), mg.ones(2), axes=(0, 0, 0)), "axes: expected an integer or a pair"),
    (lambda: mg.tensordot(mg.ones((2, 2)), mg.ones((2, 2)), axes=((0, 0), (0, 1))), "repeated axis"),
    (lambda: mg.vecdot(mg.ones(2), mg.ones(1)), "differ in length"),
    (lambda: mg.cross(mg.ones(3), mg.ones(2)), r"x2: expected 3 elements along axis -1, got shape \(2,\)"),
    (lambda: mg.dot(mg.ones(3), mg.ones(2)), "axes"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_operands_that_do_not_fit_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
