"""Products of few rows against float64: integers exactly, and the same bits for a row alone and beside others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad.kernels import from_bfloat16, to_bfloat16
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.vector import address_of_array
from minigrad.kernels.products.few_rows import BLOCK, COLUMNS, FEW_ROWS, multiply_few_rows

TYPES = {  # of activations, weights and sums
    "float32": (np.float32, np.float32, np.float32),
    "float64": (np.float64, np.float64, np.float64),
    "bfloat16": (np.float32, np.uint16, np.float32),
    "int8-weights": (np.float32, np.int8, np.float32),
    "int8": (np.uint8, np.int8, np.int32),
}


@kernel()
def _multiply(a, w, c, likes):
    (m, k), n = a.shape, len(w)
    steps = a.strides[0], w.strides[0], c.strides[0]
    at = address_of_array(a), address_of_array(w), address_of_array(c)
    multiply_few_rows(m, n, k, at[0], steps[0], at[1], steps[1], at[2], steps[2], likes)


def product(a: np.ndarray, w: np.ndarray, total: np.dtype) -> np.ndarray:
    c = np.full((len(a), len(w)), 99, total)
    _multiply(a, w, c, tuple(np.empty(0, x.dtype) for x in (a, w, c)))
    return c


def operands(name: str, m: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small integers in the types of a format, and their product."""
    rng, (a, w, _) = np.random.default_rng([m, n, k]), TYPES[name]
    x, q = rng.integers(0 if a == np.uint8 else -9, 10, (m, k)), rng.integers(-9, 10, (n, k))
    weights = to_bfloat16(q.astype(np.float32)) if w == np.uint16 else q.astype(w)
    return x.astype(a), weights, x @ q.T


@pytest.mark.parametrize("name", TYPES)
@settings(deadline=None, max_examples=60)
@given(
    m=st.integers(1, 2 * max(FEW_ROWS) + 1),
    n=st.one_of(st.integers(1, 9), st.sampled_from([COLUMNS - 1, 2 * COLUMNS + 3])),
    k=st.one_of(st.integers(0, 70), st.sampled_from([BLOCK * 16 + 5, BLOCK * 64, 3 * BLOCK * 16])),
)
def test_small_integers_give_exact_products(name, m, n, k):
    a, w, expected = operands(name, m, n, k)
    np.testing.assert_array_equal(product(a, w, TYPES[name][2]), expected)


@pytest.mark.parametrize("name", TYPES)
def test_rows_have_the_same_bits_alone_and_together(rng, name):
    a, w, _ = operands(name, 15, 70, 1100)
    if a.dtype.kind == "f":
        a = rng.standard_normal(a.shape).astype(a.dtype)
    together = product(a, w, TYPES[name][2])
    for row in range(len(a)):
        np.testing.assert_array_equal(product(a[row : row + 1], w, TYPES[name][2])[0], together[row])


def test_bfloat16_weights_are_read_as_what_they_are(rng):
    a, bits = rng.standard_normal((3, 100), np.float32), to_bfloat16(rng.standard_normal((5, 100), np.float32))
    exact = a.astype(np.float64) @ from_bfloat16(bits).T.astype(np.float64)
    np.testing.assert_allclose(product(a, bits, np.dtype(np.float32)), exact, atol=1e-4)
