"""Plain attention against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels.attention import plain


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 5, 4, 2), (7, 33, 16, 9), (2, 0, 3, 4)])
def test_the_plain_attention_is_its_formula(rng, sizes):
    queries, keys, features, width = sizes
    q, k, v = (rng.standard_normal(shape) for shape in ((queries, features), (keys, features), (keys, width)))
    mask = rng.random((queries, keys)) < 0.7
    mask[0] = False
    terms = np.where(mask, np.exp(q @ k.T / np.sqrt(features)), 0)
    total = terms.sum(axis=1, keepdims=True)
    expected = terms / np.where(total == 0, 1, total) @ v
    np.testing.assert_allclose(plain.scaled_dot_product_attention(q, k, v, mask), expected, rtol=1e-12, atol=1e-14)
