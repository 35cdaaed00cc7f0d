"""Top-k against a stable sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad.kernels import top_k


def sorted_first(x: np.ndarray, k: int, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same by sorting everything."""
    flat = (x + offset[..., None]).reshape(len(x), x[0].size)
    places = np.argsort(-flat, axis=-1, kind="stable")[:, :k]
    return np.take_along_axis(flat, places, -1), places


@settings(deadline=None, max_examples=150)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2, 5, 63, 64, 65, 200])),
    k=st.integers(1, 70),
    distinct=st.sampled_from([1, 4, 10**6]),
    precision=st.sampled_from([np.float32, np.float64]),
    order=st.sampled_from(["random", "rising", "falling"]),
    seed=st.integers(0, 99),
)
def test_the_largest_are_found_in_order_and_the_first_of_equals(shape, k, distinct, precision, order, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-distinct, distinct, shape).astype(precision)
    x[rng.random(shape) < 0.2] = -np.inf
    if order != "random":
        x.sort(axis=-1)
        x = x if order == "rising" else x[..., ::-1]
    offset = rng.integers(-2, 3, shape[:2]).astype(np.float64)
    for found, expected in zip(top_k(x, k, offset), sorted_first(x, k, offset), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_offsets_are_added_in_double_precision():
    x, offset = np.zeros((1, 2, 3), np.float32), np.array([[0.0, 1e-12]])
    assert top_k(x, 1, offset)[1].item() == 3
    assert top_k(x, 1)[1].item() == 0


def test_any_strides_infinities_and_many_groups_on_all_threads(dtype, rng):
    x = rng.standard_normal((12, 40, 2000)).astype(dtype)[::2, ::-1, ::3]
    x[0] = -np.inf
    x[1, 3, 5] = np.inf
    values, places = top_k(x, 9)
    expected = sorted_first(x, 9, np.zeros(x.shape[:2]))
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(places, expected[1])


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_there_may_be_nothing_to_choose_from(shape):
    values, places = top_k(np.empty(shape), 4)
    assert values.shape == places.shape == (shape[0], min(4, shape[1] * shape[2]))


def test_invalid_arguments_are_named():
    x = np.ones((1, 2, 3))
    with pytest.raises(TypeError, match="x must be a float32 or float64 array; got int64"):
        top_k(x.astype(np.int64), 1)
    with pytest.raises(ValueError, match=r"x must have three dimensions; got shape \(2, 3\)"):
        top_k(x[0], 1)
    with pytest.raises(TypeError, match="k must be an integer; got float"):
        top_k(x, 1.0)
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        top_k(x, 0)
    with pytest.raises(ValueError, match=r"offset must have shape \(1, 2\); got \(2,\)"):
        top_k(x, 1, np.zeros(2))
