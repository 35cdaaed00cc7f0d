"""Determinants, inverses and solutions: values of NumPy's, derivatives that agree with differences, twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd, linalg
from minigrad.func import vmap
from minigrad.ops.linalg.inverses import _cofactors_along
from minigrad.testing import gradcheck

SHAPES = [(3, 3), (2, 3, 3), (1, 1), (2, 1, 2, 2)]
EMPTY = [(0, 0), (0, 3, 3), (2, 0, 0)]
# name → (the function, NumPy's)
OF_SQUARES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "det": (linalg.det, np.linalg.det),
    "slogdet": (linalg.slogdet, np.linalg.slogdet),
    "inv": (linalg.inv, np.linalg.inv),
    **{
        f"power {n}": (lambda x, n=n: linalg.matrix_power(x, n), lambda x, n=n: np.linalg.matrix_power(x, n))
        for n in (-3, 1, 2, 5, 6)
    },
}


def _invertible(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape) + 2 * np.eye(shape[-1])


def _as_list(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple) else [results]


@pytest.mark.parametrize("shape", SHAPES + EMPTY)
@pytest.mark.parametrize("name", OF_SQUARES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_numpys_and_keep_the_dtype(
    name: str, shape: tuple[int, ...], dtype: type, rng: np.random.Generator
) -> None:
    function, reference = OF_SQUARES[name]
    x = np.swapaxes(_invertible(rng, shape), -1, -2).astype(dtype)
    for found, expected in zip(_as_list(function(x)), _as_list(reference(x)), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", OF_SQUARES)
def test_derivatives_agree_with_differences_to_second_order(
    name: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    assert gradcheck(OF_SQUARES[name][0], _invertible(rng, shape), order=2)


@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("name", OF_SQUARES)
def test_nothing_has_an_empty_gradient(name: str, shape: tuple[int, ...]) -> None:
    x = mg.zeros(shape).requires_grad_()
    _as_list(OF_SQUARES[name][0](x))[-1].sum().backward()
    assert x.grad is not None and x.grad.shape == shape


@pytest.mark.parametrize("name", OF_SQUARES)
def test_they_run_over_batches_the_code_does_not_see(name: str, rng: np.random.Generator) -> None:
    function = OF_SQUARES[name][0]
    x = mg.asarray(_invertible(rng, (2, 3, 3)))

    def gradient(x: Any) -> Any:
        return mg.func.grad(lambda x: _as_list(function(x))[-1].sum())(x)

    whole, parts = vmap(gradient)(x), [gradient(x[i]) for i in range(2)]
    np.testing.assert_allclose(whole.numpy(), mg.stack(parts).numpy(), rtol=1e-10)


@pytest.mark.parametrize(("size", "rank"), [(1, 0), (2, 1), (2, 0), (3, 2), (3, 1), (4, 3), (4, 2), (4, 1), (3, 0)])
def test_determinants_of_singular_matrices_have_exact_derivatives(
    size: int, rank: int, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((size, rank)) @ rng.standard_normal((rank, size))
    assert gradcheck(linalg.det, x, order=2)
    assert gradcheck(linalg.det, np.stack([x, np.eye(size)]), order=2)


def test_the_gradient_of_a_singular_determinant_is_the_transposed_adjugate() -> None:
    x = mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], dtype=mg.float64, requires_grad=True)
    linalg.det(x).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]], atol=1e-12)


def test_determinants_have_third_derivatives(rng: np.random.Generator) -> None:
    assert gradcheck(_cofactors_along, (_invertible(rng, (2, 3, 3)), rng.standard_normal((2, 3, 3))), order=1)


def test_a_singular_matrix_has_no_logarithm_of_a_determinant_to_differentiate() -> None:
    x = mg.ones((2, 2)).requires_grad_()
    sign, logabsdet = linalg.slogdet(x)
    assert (sign.item(), logabsdet.item()) == (0, -np.inf)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        logabsdet.backward()


@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 1, 3, 3), (4, 3, 2)), ((3, 3), (2, 3, 1))],
)
def test_solutions_solve_and_their_derivatives_agree_with_differences(
    left: tuple[int, ...], right: tuple[int, ...], rng: np.random.Generator
) -> None:
    a, b = _invertible(rng, left), rng.standard_normal(right)
    np.testing.assert_allclose(linalg.solve(a, b).numpy(), np.linalg.solve(a, b), rtol=1e-12)
    assert gradcheck(linalg.solve, (a, b), order=2)


def test_the_power_of_zero_is_the_identity_and_its_gradient_zero() -> None:
    x = mg.tensor([[np.nan, 1.0], [2.0, 3.0]], requires_grad=True)
    y = linalg.matrix_power(x, 0)
    np.testing.assert_array_equal(y.detach().numpy(), np.eye(2))
    y.sum().backward()
    assert x.grad is not None and not x.grad.numpy().any()
    assert linalg.matrix_power(mg.tensor([[2, 0], [0, 3]]), 3).tolist() == [[8, 0], [0, 27]]


def test_chains_of_products_are_numpys(rng: np.random.Generator) -> None:
    shapes = [(2, 5), (5, 3), (3, 4), (4, 2)]
    arrays = [rng.standard_normal(shape) for shape in shapes]
    for chain in (arrays, arrays[:2], [arrays[0][0], *arrays[1:]], [*arrays[:-1], arrays[-1][:, 0]]):
        np.testing.assert_allclose(linalg.multi_dot(chain).numpy(), np.linalg.multi_dot(chain), rtol=1e-12)
    assert gradcheck(lambda *chain: linalg.multi_dot(chain), arrays, order=2)


def test_integers_and_nested_lists_become_float32() -> None:
    assert linalg.det([[2, 0], [0, 3]]).dtype == mg.float32
    assert linalg.inv([[2.0, 0.0], [0.0, 4.0]]).tolist() == [[0.5, 0], [0, 0.25]]
    assert linalg.solve([[2, 0], [0, 4]], [1, 1]).tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linalg.det(mg.ones((2, 3))), r"x: expected square matrices \(…, N, N\), got shape \(2, 3\)"),
        (lambda: linalg.inv(mg.ones(3)), r"x: expected square matrices \(…, N, N\), got shape \(3,\)"),
        (lambda: linalg.inv(mg.ones((2, 2))), "Singular matrix"),
        (lambda: linalg.slogdet(mg.ones((2, 3))), "x: expected square"),
        (lambda: linalg.matrix_power(mg.ones((2, 3)), 2), "x: expected square"),
        (lambda: linalg.solve(mg.ones((2, 3)), mg.ones(2)), "x1: expected square"),
        (lambda: linalg.solve(mg.eye(2), mg.ones(3)), r"x2: expected 2 rows as x1 has, got shape \(3,\)"),
        (lambda: linalg.solve(mg.eye(2), 1.0), r"x2: expected 2 rows as x1 has, got shape \(\)"),
        (lambda: linalg.multi_dot([mg.ones((2, 2))]), "arrays: expected at least two, got 1"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.peers
def test_second_derivatives_of_determinants_are_pytorchs(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, direction = rng.standard_normal((2, 3, 3)), rng.standard_normal((2, 3, 3))
    for ours, theirs in ((linalg.det, torch.linalg.det), (linalg.inv, torch.linalg.inv)):
        a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        first = autograd.grad(ours(a).sum(), a, create_graph=True)[0]
        second = autograd.grad((first * mg.asarray(direction)).sum(), a)[0]
        expected = torch.autograd.grad(theirs(b).sum(), b, create_graph=True)[0]
        np.testing.assert_allclose(first.detach().numpy(), expected.detach().numpy(), rtol=1e-10)
        expected = torch.autograd.grad((expected * torch.tensor(direction)).sum(), b)[0]
        np.testing.assert_allclose(second.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)
