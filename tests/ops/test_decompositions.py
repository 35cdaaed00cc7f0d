"""Factorizations: their factors multiply back and are NumPy's, their derivatives agree with differences, twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd, linalg
from minigrad.func import vmap
from minigrad.testing import gradcheck

Function = Callable[[Any], Any]

SQUARE = [(3, 3), (2, 3, 3), (1, 1)]
RECTANGULAR = [(4, 2), (2, 4), (2, 3, 2), (2, 2, 3), (1, 3), *SQUARE]
EMPTY = [(0, 0), (0, 3), (3, 0), (0, 2, 3)]


def _positive_definite(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal(shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


def _thin(function: Function) -> Function:
    """A full decomposition without the vectors that complete it."""

    def thin(x: Any) -> Any:
        u, s, vh = function(x)
        return u[..., : s.shape[-1]], s, vh[..., : s.shape[-1], :]

    return thin


# name → (the function, NumPy's)
OF_SYMMETRIC: dict[str, tuple[Function, Function]] = {
    "cholesky": (linalg.cholesky, np.linalg.cholesky),
    "cholesky upper": (lambda x: linalg.cholesky(x, upper=True), lambda x: np.linalg.cholesky(x, upper=True)),
    "eigh": (linalg.eigh, np.linalg.eigh),
    "eigvalsh": (linalg.eigvalsh, np.linalg.eigvalsh),
}
OF_ANY: dict[str, tuple[Function, Function]] = {
    "svd": (_thin(linalg.svd), _thin(np.linalg.svd)),
    "svd thin": (lambda x: linalg.svd(x, full_matrices=False), lambda x: np.linalg.svd(x, False)),
    "svdvals": (linalg.svdvals, np.linalg.svdvals),
    "qr": (linalg.qr, np.linalg.qr),
}
CASES = [(name, shape, _positive_definite) for name in OF_SYMMETRIC for shape in SQUARE] + [
    (name, shape, np.random.Generator.standard_normal) for name in OF_ANY for shape in RECTANGULAR
]
FUNCTIONS = OF_SYMMETRIC | OF_ANY


def _as_list(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple) else [results]


@pytest.mark.parametrize(("name", "shape", "draw"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_factors_are_numpys_and_keep_the_dtype(
    name: str, shape: tuple[int, ...], draw: Any, dtype: type, rng: np.random.Generator
) -> None:
    function, reference = FUNCTIONS[name]
    x = np.asfortranarray(draw(rng, shape)).astype(dtype)
    for found, expected in zip(_as_list(function(x)), _as_list(reference(x)), strict=True):
        assert found.dtype == dtype
        tolerance = 1e-4 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "shape", "draw"), CASES)
def test_derivatives_agree_with_differences_to_second_order(
    name: str, shape: tuple[int, ...], draw: Any, rng: np.random.Generator
) -> None:
    assert gradcheck(FUNCTIONS[name][0], draw(rng, shape), order=2)


@pytest.mark.parametrize(("name", "draw"), [(name, draw) for name, shape, draw in CASES if shape == (3, 3)])
def test_they_run_over_batches_the_code_does_not_see(name: str, draw: Any, rng: np.random.Generator) -> None:
    x = mg.asarray(draw(rng, (2, 3, 3)))

    def gradient(x: Any) -> Any:
        return mg.func.grad(lambda x: sum((factor**3).sum() for factor in _as_list(FUNCTIONS[name][0](x))))(x)

    whole, parts = vmap(gradient)(x), [gradient(x[i]) for i in range(2)]
    np.testing.assert_allclose(whole.numpy(), mg.stack(parts).numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_can_be_decomposed(name: str, shape: tuple[int, ...]) -> None:
    if name in OF_SYMMETRIC and shape[-1] != shape[-2]:
        shape = (0, 3, 3)
    x = mg.zeros(shape).requires_grad_()
    factors = _as_list(FUNCTIONS[name][0](x))
    sum(factor.sum() for factor in factors).backward()
    assert x.grad is not None and x.grad.shape == shape


@pytest.mark.parametrize("shape", RECTANGULAR)
def test_factors_multiply_back(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.standard_normal(shape)
    u, s, vh = linalg.svd(x)
    assert u.shape[-1] == shape[-2] and vh.shape[-2] == shape[-1]
    count = s.shape[-1]
    np.testing.assert_allclose(((u[..., :count] * s[..., None, :]) @ vh[..., :count, :]).numpy(), x, atol=1e-12)
    for mode in ("reduced", "complete"):
        q, r = linalg.qr(x, mode=mode)
        assert q.shape[-1] == (shape[-2] if mode == "complete" else count)
        np.testing.assert_allclose((q @ r).numpy(), x, atol=1e-12)
        np.testing.assert_array_equal(np.tril(r.numpy(), -1), 0)


def test_gradients_of_symmetric_matrices_are_symmetric(rng: np.random.Generator) -> None:
    for function in (linalg.cholesky, linalg.eigvalsh, lambda x: linalg.eigh(x).eigenvectors):
        x = mg.tensor(_positive_definite(rng, (3, 3)), requires_grad=True)
        (function(x) ** 3).sum().backward()
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), x.grad.numpy().T, rtol=1e-10)


def test_of_a_matrix_that_is_not_symmetric_the_symmetric_part_or_a_triangle_is_taken(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 3))
    np.testing.assert_allclose(linalg.eigvalsh(x).numpy(), np.linalg.eigvalsh((x + x.T) / 2), rtol=1e-12)
    for triangle in ("L", "U"):
        np.testing.assert_allclose(linalg.eigvalsh(x, triangle).numpy(), np.linalg.eigvalsh(x, triangle), rtol=1e-12)
        assert gradcheck(lambda x, t=triangle: linalg.eigh(x, t), x, order=2)
    assert gradcheck(linalg.eigh, x, order=2)


@pytest.mark.parametrize("name", ["eigvalsh", "svdvals"])
def test_equal_values_have_a_gradient(name: str) -> None:
    x = mg.tensor(2 * np.eye(3), requires_grad=True)
    getattr(linalg, name)(x).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), np.eye(3), atol=1e-15)


def test_vectors_of_equal_values_have_none() -> None:
    x = mg.tensor(np.eye(2), requires_grad=True)
    values, vectors = linalg.eigh(x)
    (vectors * values[..., None, :] ** 2 @ vectors.mT * np.ones((2, 2))).sum().backward()
    assert x.grad is not None and not np.isfinite(x.grad.numpy()).all()


def test_functions_invariant_to_the_choice_of_vectors_have_the_right_gradient(rng: np.random.Generator) -> None:
    """Functions of the spectrum: the square root and the projection on the leading directions."""

    def root(x: Any) -> Any:
        values, vectors = linalg.eigh(x)
        return vectors * mg.sqrt(values)[..., None, :] @ vectors.mT

    x = _positive_definite(rng, (3, 3))
    np.testing.assert_allclose((root(x) @ root(x)).numpy(), x, rtol=1e-12)
    assert gradcheck(root, x, order=2)

    def leading(x: Any) -> Any:
        u = linalg.svd(x).U[..., :2]
        return u @ u.mT

    assert gradcheck(leading, rng.standard_normal((4, 3)), order=2)


def test_singular_values_have_a_finite_gradient_at_0() -> None:
    x = mg.tensor(np.zeros((2, 3)), requires_grad=True)
    gradient = autograd.grad(linalg.svdvals(x).sum(), x)[0]
    assert np.isfinite(gradient.numpy()).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linalg.cholesky(mg.ones((2, 3))), r"x: expected square matrices \(…, N, N\), got shape \(2, 3\)"),
        (lambda: linalg.cholesky(-mg.eye(2)), "not positive definite"),
        (lambda: linalg.eigh(mg.ones(3)), "x: expected square matrices"),
        (lambda: linalg.eigh(mg.eye(2), "X"), "UPLO: expected 'L', 'U' or None, got 'X'"),
        (lambda: linalg.svd(mg.ones(3)), r"x: expected matrices \(…, M, N\), got shape \(3,\)"),
        (lambda: linalg.svdvals(mg.ones(())), "x: expected matrices"),
        (lambda: linalg.qr(mg.ones(3)), "x: expected matrices"),
        (lambda: linalg.qr(mg.eye(2), mode="raw"), "mode: expected 'reduced' or 'complete', got 'raw'"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_columns_that_complete_a_tall_q_have_no_derivative(rng: np.random.Generator) -> None:
    x = mg.tensor(rng.standard_normal((3, 2)), requires_grad=True)
    with pytest.raises(ValueError, match=r"mode='complete' has no derivative for more rows than columns"):
        linalg.qr(x, mode="complete").R.sum().backward()
    linalg.qr(mg.ones((2, 3)).requires_grad_(), mode="complete")
    assert gradcheck(lambda x: linalg.qr(x, mode="complete"), rng.standard_normal((2, 3)), order=2)


@pytest.mark.peers
@pytest.mark.parametrize("shape", RECTANGULAR)
@pytest.mark.parametrize("name", ["svd", "qr"])
def test_gradients_are_pytorchs(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    values = rng.standard_normal(shape)
    options = {"full_matrices": False} if name == "svd" else {}
    ours, theirs = mg.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    # Even powers do not depend on the signs of vectors.
    sum((factor**4).sum() for factor in getattr(linalg, name)(ours, **options)).backward()
    sum((factor**4).sum() for factor in getattr(torch.linalg, name)(theirs, **options)).backward()
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-8, atol=1e-10)
