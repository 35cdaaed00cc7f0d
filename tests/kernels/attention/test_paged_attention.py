"""Paged attention against the attention of gathered keys and values, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad.kernels import from_bfloat16, paged_attention, scaled_dot_product_attention, to_bfloat16
from minigrad.nn import functional

inf, nan = np.inf, np.nan


def gathered(store: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(B, G, K, D)."""
    return store[table].transpose(0, 2, 1, 3)


def drawn(rng, dtype, sizes) -> list[np.ndarray]:
    """Queries as (B, Q, H, D) in memory, keys, values, and a table in which slots repeat."""
    batch, heads, groups, queries, length, features, width, slots = sizes
    query = rng.standard_normal((batch, queries, heads, features)).astype(dtype).transpose(0, 2, 1, 3)
    keys = rng.standard_normal((slots, groups, features)).astype(dtype)
    values = rng.standard_normal((slots, groups, width)).astype(dtype)
    return [query, keys, values, rng.integers(0, slots, (batch, length))]


def masks(rng, kind, sizes, dtype):
    batch, heads, _, queries, length, *_ = sizes
    return {
        "none": lambda: None,
        "padding": lambda: (np.arange(length) >= rng.integers(0, length + 1, batch)[:, None])[:, None, None, :],
        "boolean": lambda: rng.random((batch, heads, queries, length)) < 0.3,
        "window": lambda: rng.random((queries, length)) < 0.5,
        "floating": lambda: rng.standard_normal((heads, queries, length)).astype(dtype),
        "infinite": lambda: np.where(rng.random((queries, length)) < 0.5, dtype(-inf), dtype(0)),
    }[kind]()


@settings(deadline=None, max_examples=150)
@given(
    batch=st.integers(1, 4),
    heads=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]),
    queries=st.sampled_from([1, 1, 2, 5]),
    length=st.sampled_from([0, 1, 2, 7, 33, 130]),
    widths=st.sampled_from([(1, 1), (8, 8), (17, 5), (64, 64)]),
    mask=st.sampled_from(["none", "padding", "boolean", "window", "floating", "infinite"]),
    scale=st.sampled_from([None, 0.3]),
    softcap=st.sampled_from([None, 0.7]),
    precision=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 99),
)
def test_it_is_the_attention_of_gathered_keys(
    batch, heads, queries, length, widths, mask, scale, softcap, precision, seed
):
    rng = np.random.default_rng(seed)
    sizes = (batch, *heads, queries, length, *widths, max(1, length))
    query, keys, values, table = drawn(rng, precision, sizes)
    seen = masks(rng, mask, sizes, precision)
    found = paged_attention(query, keys, values, table, seen, scale=scale, softcap=softcap)
    exact = [array.astype(np.float64) for array in (query, gathered(keys, table), gathered(values, table))]
    wide = seen.astype(np.float64) if seen is not None and seen.dtype.kind == "f" else seen
    options = {"scale": scale, "enable_gqa": True, "softcap": softcap}
    expected = functional.scaled_dot_product_attention(*exact, wide, **options).numpy()
    assert found.dtype == precision
    assert found.shape == expected.shape
    # A score is off by units of the sum of its terms' sizes, a weighted mean by those of scores and values.
    size = max((abs(array).max() for array in exact if array.size), default=0)
    bound = (8 + widths[0] ** 0.5 * size**2 + length**0.5) * 4 * np.finfo(precision).eps * size
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


def test_many_texts_on_all_threads(dtype, rng):
    query, keys, values, table = drawn(rng, dtype, (64, 8, 8, 1, 40, 64, 64, 900))
    found = paged_attention(query, keys, values, table)
    expected, _ = scaled_dot_product_attention(query, gathered(keys, table), gathered(values, table))
    np.testing.assert_allclose(found, expected, rtol=0, atol=200 * np.finfo(dtype).eps)
    assert np.array_equal(found, paged_attention(query, keys, values, table))


@pytest.mark.parametrize("kind", ["none", "padding", "floating"])
def test_keys_and_values_in_bfloat16(kind, rng):
    sizes = (3, 4, 2, 2, 33, 17, 5, 40)
    query, keys, values, table = drawn(rng, np.float32, sizes)
    mask, rounded = masks(rng, kind, sizes, np.float32), [to_bfloat16(keys), to_bfloat16(values)]
    found = paged_attention(query, *rounded, table, mask)
    expected = paged_attention(query, *map(from_bfloat16, rounded), table, mask)
    # The same operations in the same order, but for how the compiler sums up
    np.testing.assert_allclose(found, expected, rtol=0, atol=100 * np.finfo(np.float32).eps)
    for wrong in ([rounded[0], values], [keys, rounded[1]]):
        with pytest.raises(TypeError, match=r"must be a float32 or float64 array|must have the dtype of query"):
            paged_attention(query, *wrong, table, mask)
    with pytest.raises(TypeError, match="keys must have the dtype of query, float64; got uint16"):
        paged_attention(query.astype(np.float64), *rounded, table)


def test_the_result_is_contiguous_by_text(rng):
    found = paged_attention(*drawn(rng, np.float32, (2, 3, 3, 1, 4, 5, 6, 9)))
    assert found.transpose(0, 2, 1, 3).flags.c_contiguous


def test_infinite_and_missing_scores(dtype):
    keys = np.array([1, inf, -inf, nan, 0], dtype)[:, None, None]
    values = np.arange(5, dtype=dtype)[:, None, None]
    table = np.array([[0, 1, 4], [2, 2, 2], [0, 3, 4], [1, 0, 1], [1, 3, 2], [2, 4, 2]])
    found = paged_attention(np.ones((6, 1, 1, 1), dtype), keys, values, table).ravel()
    np.testing.assert_allclose(found, [1, 0, nan, 1, nan, 4])


@pytest.mark.parametrize("slot", [-1, 3])
def test_a_slot_that_there_is_not_is_an_error(slot):
    store = np.ones((3, 1, 2))
    with pytest.raises(IndexError, match=rf"table must be in \[0, 3\); got {slot}"):
        paged_attention(np.ones((1, 1, 1, 2)), store, store, np.array([[0, slot]]))


def test_invalid_arguments_are_named():
    query, store, table = np.ones((1, 4, 1, 2)), np.ones((3, 2, 2)), np.array([[0, 1]])
    with pytest.raises(TypeError, match="keys must have the dtype of query, float64; got float32"):
        paged_attention(query, store.astype(np.float32), store, table)
    with pytest.raises(ValueError, match=r"keys must have shape \(3, 2, 2\); got \(3, 2, 5\)"):
        paged_attention(query, np.ones((3, 2, 5)), store, table)
    with pytest.raises(ValueError, match="keys: its 3 heads cannot serve 4 query heads evenly"):
        paged_attention(query, np.ones((3, 3, 2)), np.ones((3, 3, 2)), table)
    for wrong in (table.astype(np.int32), table[0], np.repeat(table, 2, axis=0)):
        with pytest.raises(ValueError, match=r"table must be int64 of shape \(1, keys\); got"):
            paged_attention(query, store, store, wrong)
    with pytest.raises(ValueError, match=r"mask must broadcast to \(1, 4, 1, 2\); got \(3,\)"):
        paged_attention(query, store, store, table, np.ones(3, bool))
    with pytest.raises(ValueError, match="keys, values must be C-contiguous"):
        paged_attention(query, store[:, :, ::-1], store, table)
