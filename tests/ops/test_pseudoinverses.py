"""Pseudo-inverses and least squares: values of NumPy's, derivatives that agree with differences, twice."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import linalg
from minigrad.func import vmap
from minigrad.testing import gradcheck


@pytest.mark.parametrize("shape", [(4, 2), (2, 3), (2, 3, 3), (2, 0), (0, 2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_numpys_and_keep_the_dtype(shape: tuple[int, ...], dtype: type, rng: np.random.Generator) -> None:
    x = rng.standard_normal(shape).astype(dtype)
    found = linalg.pinv(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.numpy(), np.linalg.pinv(x), rtol=1e-3 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(4, 2, 2), (2, 4, 2), (4, 3, 2), (3, 3, 1)])
def test_pseudo_inverses_and_least_squares_of_any_rank(
    rows: int, columns: int, rank: int, rng: np.random.Generator
) -> None:
    u, v = rng.standard_normal((2, rows, rank)), rng.standard_normal((2, rank, columns))
    x = u @ v
    np.testing.assert_allclose(linalg.pinv(x, rtol=1e-8).numpy(), np.linalg.pinv(x, 1e-8), rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(linalg.matrix_rank(x).numpy(), [rank, rank])
    assert gradcheck(lambda u, v: linalg.pinv(u @ v, rtol=1e-8), (u, v), order=2)
    for b in (rng.standard_normal(rows), rng.standard_normal((rows, 2))):
        found, expected = linalg.lstsq(x[0], b, 1e-8), np.linalg.lstsq(x[0], b, 1e-8)
        np.testing.assert_allclose(found.solution.numpy(), expected[0], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(
            found.residuals.numpy(), np.sum((x[0] @ expected[0] - b) ** 2, axis=0), rtol=1e-8, atol=1e-10
        )
        assert found.rank.item() == expected[2]
        np.testing.assert_allclose(found.singular_values.numpy(), expected[3], rtol=1e-8, atol=1e-10)
        assert gradcheck(lambda u, v, b: linalg.lstsq(u @ v, b, 1e-8)[:2], (u[0], v[0], b), order=2)


def test_a_tolerance_says_which_singular_values_count_as_zero() -> None:
    x = mg.asarray(np.stack([np.diag([1.0, 0.1]), np.diag([1.0, 0.01])]))
    np.testing.assert_array_equal(linalg.matrix_rank(x).numpy(), [2, 2])
    np.testing.assert_array_equal(linalg.matrix_rank(x, rtol=0.05).numpy(), [2, 1])
    np.testing.assert_array_equal(linalg.matrix_rank(x, rtol=mg.tensor([0.5, 0.001])).numpy(), [1, 2])
    np.testing.assert_array_equal(linalg.pinv(x, rtol=0.05)[1].numpy(), np.diag([1, 0]))


def test_they_run_over_batches_the_code_does_not_see(rng: np.random.Generator) -> None:
    x, b = mg.asarray(rng.standard_normal((2, 3, 2))), mg.asarray(rng.standard_normal(3))
    for whole, part in zip(vmap(linalg.lstsq, (0, None))(x, b), linalg.lstsq(x[1], b), strict=True):
        np.testing.assert_allclose(whole[1].numpy(), part.numpy(), rtol=1e-10)


def test_vectors_are_refused() -> None:
    for function in (linalg.pinv, linalg.matrix_rank):
        with pytest.raises(ValueError, match=r"x: expected matrices \(…, M, N\), got shape \(3,\)"):
            function(mg.ones(3))
    with pytest.raises(ValueError, match="inner sizes"):
        linalg.lstsq(mg.ones((3, 2)), mg.ones(2))
