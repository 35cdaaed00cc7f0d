"""Norms: values of NumPy's, derivatives that agree with differences, twice, and are PyTorch's at singular points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd, linalg
from minigrad.func import vmap
from minigrad.testing import gradcheck

VECTOR_ORDERS = [0, 0.5, 1, 1.5, 2, 3, 4, -1, -2.5, np.inf, -np.inf]
MATRIX_ORDERS = ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]
VECTORS: list[tuple[tuple[int, ...], Any]] = [
    ((), None),
    ((5,), None),
    ((5,), 0),
    ((2, 3), None),
    ((2, 3), -2),
    ((2, 3, 4), (0, -1)),
]


@pytest.mark.parametrize(("shape", "axis"), VECTORS)
@pytest.mark.parametrize("order", VECTOR_ORDERS)
def test_vector_norms_are_numpys_with_derivatives_that_agree_with_differences(
    order: float, shape: tuple[int, ...], axis: Any, rng: np.random.Generator
) -> None:
    x = rng.standard_normal(shape)
    for keepdims in (False, True):
        options = {"axis": axis, "ord": order, "keepdims": keepdims}
        found, expected = linalg.vector_norm(x, **options), np.linalg.vector_norm(x, **options)
        assert found.shape == np.shape(expected)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
        assert linalg.vector_norm(x.astype(np.float32), **options).dtype == np.float32
    assert gradcheck(lambda x: linalg.vector_norm(x, axis=axis, ord=order), x, order=2)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (2, 3, 2)])
@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_matrix_norms_are_numpys_with_derivatives_that_agree_with_differences(
    order: Any, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x = rng.standard_normal(shape)
    for keepdims in (False, True):
        found, expected = (of.matrix_norm(x, ord=order, keepdims=keepdims) for of in (linalg, np.linalg))
        assert found.shape == np.shape(expected)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    assert gradcheck(lambda x: linalg.matrix_norm(x, ord=order), x, order=2)


@pytest.mark.parametrize(
    ("shape", "order", "axis"),
    [
        ((), None, None),
        ((3,), None, None),
        ((2, 3, 4), None, None),
        ((2, 3, 4), None, (0, 1)),
        ((2, 3, 4), None, 1),
        ((2, 3), 3, 1),
        ((3,), np.inf, None),
        ((2, 3), np.inf, None),
        ((2, 3, 4), "nuc", (0, 2)),
        ((2, 3, 4), 1, (2, 0)),
        ((2, 3, 4), 2, (0, -1)),
        ((2, 3), "fro", None),
    ],
)
def test_norm_distinguishes_vectors_and_matrices_as_numpy_does(
    shape: tuple[int, ...], order: Any, axis: Any, rng: np.random.Generator
) -> None:
    x = rng.standard_normal(shape)
    for keepdims in (False, True):
        found, expected = mg.norm(x, order, axis, keepdims), np.linalg.norm(x, order, axis, keepdims)
        assert found.shape == np.shape(expected)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)
    assert gradcheck(lambda x: mg.norm(x, order, axis), x, order=2)


@pytest.mark.parametrize("order", VECTOR_ORDERS)
def test_a_norm_has_the_gradient_0_at_0_and_again(order: float) -> None:
    x = mg.tensor(np.zeros((2, 3)), requires_grad=True)
    (gradient,) = autograd.grad(linalg.vector_norm(x, axis=1, ord=order).sum(), x, create_graph=True)
    np.testing.assert_array_equal(gradient.detach().numpy(), np.zeros((2, 3)))
    if gradient.requires_grad:
        np.testing.assert_array_equal(autograd.grad(gradient.sum(), x)[0].numpy(), np.zeros((2, 3)))


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, -1, -2.5])
def test_elements_that_are_0_have_the_gradient_0(order: float) -> None:
    x = mg.tensor(np.array([0.0, 3.0, -4.0]), requires_grad=True)
    linalg.vector_norm(x, ord=order).backward()
    assert x.grad is not None
    assert x.grad.numpy()[0] == 0 and np.isfinite(x.grad.numpy()).all()


def test_ties_share_the_gradient_evenly() -> None:
    for order, expected in ((np.inf, [0.5, -0.5, 0]), (-np.inf, [0, 0, 1])):
        x = mg.tensor(np.array([2.0, -2.0, 1.0]), requires_grad=True)
        linalg.vector_norm(x, ord=order).backward()
        assert x.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), expected)
    for order in (1, np.inf):
        x = mg.tensor(np.array([[1.0, -1.0], [1.0, 1.0]]), requires_grad=True)
        linalg.matrix_norm(x, ord=order).backward()
        assert x.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), np.sign(x.detach().numpy()) / 2)
    x = mg.tensor(np.eye(2), requires_grad=True)
    linalg.matrix_norm(x, ord=2).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.eye(2) / 2)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, 2, np.inf])
def test_matrices_without_elements_have_the_norm_0(order: Any) -> None:
    for shape in ((0, 3), (3, 0), (0, 0)):
        assert linalg.matrix_norm(mg.zeros(shape), ord=order).item() == 0
    assert linalg.matrix_norm(mg.zeros((2, 0, 0)), ord=order).tolist() == [0, 0]
    assert linalg.vector_norm(mg.zeros((2, 0)), axis=1, ord=np.inf).tolist() == [0, 0]


def test_condition_numbers_are_numpys(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 3))
    for order in (None, *MATRIX_ORDERS):
        np.testing.assert_allclose(linalg.cond(x, order).numpy(), np.linalg.cond(x, order), rtol=1e-10)
        assert gradcheck(lambda x, p=order: linalg.cond(x, p), x, order=2)


def test_norms_run_over_batches_the_code_does_not_see(rng: np.random.Generator) -> None:
    x = mg.asarray(rng.standard_normal((2, 3, 4)))
    for order in VECTOR_ORDERS:
        found = vmap(lambda x, p=order: linalg.vector_norm(x, ord=p, axis=0))(x)
        np.testing.assert_allclose(found.numpy(), np.linalg.vector_norm(x.numpy(), ord=order, axis=1), rtol=1e-10)
    for order in MATRIX_ORDERS:
        found = vmap(lambda x, p=order: linalg.matrix_norm(x, ord=p))(x)
        np.testing.assert_allclose(found.numpy(), np.linalg.matrix_norm(x.numpy(), ord=order), rtol=1e-10)


def test_integers_and_nested_lists_become_float32() -> None:
    assert mg.norm([3, 4]).item() == 5
    assert mg.norm([[3, 0], [0, 4]], "nuc").item() == 7
    assert linalg.vector_norm(mg.tensor([-128], dtype=mg.int8), ord=1).item() == 128
    assert linalg.matrix_norm(mg.tensor([[1, 2]]), ord=1).dtype == mg.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linalg.vector_norm(mg.ones(3), ord="fro"), "ord: expected a number for vectors, got 'fro'"),
        (lambda: linalg.matrix_norm(mg.ones((2, 2)), ord=3), "ord: expected one of 'fro', 'nuc', 2, .* got 3"),
        (lambda: linalg.matrix_norm(mg.ones(3)), r"x: expected matrices \(…, M, N\), got shape \(3,\)"),
        (lambda: mg.norm(mg.ones((2, 2, 2)), 2), r"axis: expected two axes, .*, got \(0, 1, 2\) and ord=2"),
        (lambda: mg.norm(mg.ones(2), "nuc"), "axis: expected two axes"),
        (lambda: mg.norm(mg.ones(2), axis=1), "axis 1 is out of bounds"),
    ],
)
def test_norms_that_do_not_exist_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("ord", [1, 2, 3, 4, 0.5, -1, -2, -3, 100, -100])
@pytest.mark.parametrize("value", [1e10, 1e20, 3e37, 1e-30, 1.0, 0.0])
def test_a_norm_within_the_range_is_found_though_its_powers_are_not(ord: float, value: float) -> None:
    x = mg.tensor([value, value, value], requires_grad=True)
    with np.errstate(divide="ignore"):
        norm = mg.linalg.vector_norm(x, ord=ord)
    expected = np.longdouble(value) * np.longdouble(3) ** (np.longdouble(1) / ord)
    if expected < np.finfo(np.float32).max:
        np.testing.assert_allclose(norm.item(), float(expected), rtol=1e-5)
    norm.backward()
    assert x.grad is not None
    slope = 3.0 ** (1 / ord - 1) if value else 0
    np.testing.assert_allclose(x.grad.numpy(), [slope] * 3, rtol=1e-4)


@pytest.mark.parametrize("p", [None, 2, -2, 1, -1, np.inf, -np.inf, "fro"])
def test_the_condition_of_a_singular_matrix_is_infinite(p: Any) -> None:
    assert mg.linalg.cond(np.zeros((2, 2)), p).item() == np.inf
    if p not in (None, 2, -2):  # whose smallest singular value is but rounding
        matrices = mg.tensor([[[1.0, 2.0], [2.0, 4.0]], [[1.0, 0.0], [0.0, 1.0]]])
        assert np.isinf(mg.linalg.cond(matrices, p).numpy()).tolist() == [True, False]
