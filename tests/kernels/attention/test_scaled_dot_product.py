"""Attention in tiles against the plain loop, and with its gradients against NumPy, in double precision."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad import kernels
from minigrad.kernels import (
    scaled_dot_product_attention as attention,
    scaled_dot_product_attention_backward as attention_backward,
)
from minigrad.kernels.attention import plain

inf, nan = np.inf, np.nan
Results = tuple[np.ndarray, ...]
LENGTHS = [1, 2, 11, 12, 13, 31, 33, 64, 73, 129, 260]  # around the tiles' edges
WIDTHS = [1, 3, 16, 17, 32, 33, 64]


def reference(q, k, v, g, mask=None, causal=False, scale=None, dropout=0.0, seed=0) -> Results:
    """out, logsumexp, dq, dk, dv, all scores written out."""
    q, k, v, g = (array.astype(np.float64) for array in (q, k, v, g))
    batch, heads, queries, features = q.shape
    groups, keys = k.shape[1:3]
    wide_k, wide_v = (np.repeat(array, heads // groups, 1) for array in (k, v))
    scale = features**-0.5 if scale is None else scale
    scores = q @ wide_k.swapaxes(-1, -2) * scale
    if causal:
        scores = np.where(np.tri(queries, keys, dtype=bool), scores, -inf)
    if mask is not None:
        scores = np.where(mask, scores, -inf) if mask.dtype == bool else scores + mask
    largest = scores.max(-1, keepdims=True)
    terms = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = terms.sum(-1, keepdims=True)
    weights = terms / np.where(total == 0, 1, total)
    kept = kernels.dropout(np.ones(scores.shape), dropout, seed)
    dweights = g @ wide_v.swapaxes(-1, -2) * kept
    dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True)) * scale
    dk, dv = dscores.swapaxes(-1, -2) @ q, (weights * kept).swapaxes(-1, -2) @ g
    shared = (batch, groups, heads // groups, keys, -1)
    with np.errstate(divide="ignore"):
        logsumexp = (np.where(np.isinf(largest), 0, largest) + np.log(total))[..., 0]
    return (weights * kept) @ wide_v, logsumexp, dscores @ wide_k, dk.reshape(shared).sum(2), dv.reshape(shared).sum(2)


def computed(q, k, v, g, *args, **options) -> Results:
    out, normalizer = attention(q, k, v, *args, **options)
    return out, normalizer.sum(-1), *attention_backward(g, q, k, v, out, normalizer, *args, **options)


def assert_close(found: Results, expected: Results, q, k, v, g, precision: str | None = None) -> None:
    """A sum is off by units of the sum of its terms' sizes, a weight by those of its score."""
    eps = 2.0**-8 if precision and q.dtype == np.float32 else np.finfo(q.dtype).eps
    scores = 4 + abs(q).max() * abs(k).max() * q.shape[-1] ** 0.5
    size = max(q.shape[2], k.shape[2]) ** 0.5 * q.shape[1] * max(1, *(abs(array).max() for array in (q, k, v, g))) ** 3
    for name, one, other in zip(("out", "logsumexp", "dq", "dk", "dv"), found, expected, strict=True):
        assert one.dtype == q.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=8 * eps * scores * size * q.shape[-1] ** 0.5, err_msg=name)


def operands(rng, dtype, batch, heads, groups, queries, keys, features, width) -> list[np.ndarray]:
    """q, k, v, g, as (batch, length, heads, features) in memory."""
    shapes = ((queries, heads, features), (keys, groups, features), (keys, groups, width), (queries, heads, width))
    return [rng.standard_normal((batch, *shape)).astype(dtype).transpose(0, 2, 1, 3) for shape in shapes]


def masks(rng, kind, batch, heads, queries, keys, dtype):
    return {
        "none": lambda: None,
        "padding": lambda: (np.arange(keys) < rng.integers(0, keys + 1, batch)[:, None])[:, None, None, :],
        "boolean": lambda: rng.random((batch, heads, queries, keys)) < 0.3,
        "queries": lambda: rng.random((queries, 1)) < 0.5,
        "floating": lambda: rng.standard_normal((heads, queries, keys)).astype(dtype),
        "infinite": lambda: np.where(rng.random((queries, keys)) < 0.5, dtype(-inf), dtype(0)),
    }[kind]()


@settings(deadline=None, max_examples=150)
@given(
    sizes=st.tuples(
        st.integers(1, 2), *[st.integers(1, 3)] * 2, *[st.sampled_from(LENGTHS)] * 2, *[st.sampled_from(WIDTHS)] * 2
    ),
    kind=st.sampled_from(["none", "padding", "boolean", "queries", "floating", "infinite"]),
    causal=st.booleans(),
    scale=st.sampled_from([None, 0.0, -0.3, 1.0]),
    dropout=st.sampled_from([0.0, 0.3]),
    dtype=st.sampled_from([np.float32, np.float64]),
    precision=st.sampled_from([None, "bfloat16"]),
)
def test_results_and_gradients_are_the_definition_s(sizes, kind, causal, scale, dropout, dtype, precision):
    batch, groups, serves, queries, keys, features, width = sizes
    rng = np.random.default_rng(sizes)
    q, k, v, g = operands(rng, dtype, batch, groups * serves, groups, queries, keys, features, width)
    mask = masks(rng, kind, batch, groups * serves, queries, keys, dtype)
    options = {"causal": causal, "scale": scale, "dropout": dropout, "seed": 7}
    found = computed(q, k, v, g, mask, **options, precision=precision)
    assert_close(found, reference(q, k, v, g, mask, **options), q, k, v, g, precision)


@settings(deadline=None, max_examples=60)
@given(
    queries=st.sampled_from(LENGTHS),
    keys=st.sampled_from([1, 2, 16, 64, 128]),
    features=st.sampled_from(WIDTHS),
    width=st.sampled_from(WIDTHS),
)
def test_values_that_bfloat16_holds_lose_nothing(queries, keys, features, width):
    """Small integers, and weights that are a power of two: only sums are rounded, whose terms are float32."""
    rng = np.random.default_rng([queries, keys, features, width])
    shapes = (queries, features), (keys, features), (keys, width), (queries, width)
    q, k, v, g = (rng.integers(-8, 9, (1, 2, *shape)).astype(np.float32) for shape in shapes)
    uniform = computed(q, k, v, g, scale=0.0, precision="bfloat16")
    assert_close(uniform, reference(q, k, v, g, scale=0.0), q, k, v, g)
    logsumexp = computed(q, k, v, g, scale=0.125, precision="bfloat16")[1]
    np.testing.assert_allclose(logsumexp, reference(q, k, v, g, scale=0.125)[1], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("queries", [11, 64, 260])
@pytest.mark.parametrize("keys", [12, 31, 129, 260])
def test_rounding_to_bfloat16_moves_results_by_a_few_of_its_units(rng, queries, keys, causal):
    """In the mean: a wrong pair of summands anywhere would be an error of the size of the result."""
    q, k, v, g = operands(rng, np.float32, 2, 4, 2, queries, keys, 17, 33)
    found = computed(q, k, v, g, causal=causal, precision="bfloat16")
    for one, other in zip(found, reference(q, k, v, g, causal=causal), strict=True):
        assert np.linalg.norm(one - other) <= 8 * 2.0**-8 * np.linalg.norm(other)


@pytest.mark.parametrize("queries", LENGTHS)
@pytest.mark.parametrize("keys", [1, 16, 129, 300])
def test_out_is_that_of_the_plain_loop(dtype, rng, queries, keys):
    q, k, v, _ = operands(rng, dtype, 1, 2, 2, queries, keys, 17, 33)
    mask = rng.random((queries, keys)) < 0.5
    for causal in (False, True):
        out, _ = attention(q, k, v, mask, causal=causal)
        visible = mask & np.tri(queries, keys, dtype=bool) if causal else mask
        for head in range(2):
            given = (np.array(array[0, head], np.float64, order="C") for array in (q, k, v))
            expected = plain.scaled_dot_product_attention(*given, visible)
            np.testing.assert_allclose(out[0, head], expected, rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_all_threads_share_heads_or_queries(dtype, rng, precision, batch, causal):
    q, k, v, g = operands(rng, dtype, batch, 1, 1, 400, 390, 32, 32)
    found = computed(q, k, v, g, causal=causal, precision=precision)
    assert_close(found, reference(q, k, v, g, causal=causal), q, k, v, g, precision)
    for one, again in zip(found, computed(q, k, v, g, causal=causal, precision=precision), strict=True):
        assert np.array_equal(one, again)


def test_any_strides(dtype, rng):
    packed = rng.standard_normal((2, 20, 3, 2, 8)).astype(dtype)
    views = [packed[:, :, i].transpose(0, 2, 1, 3) for i in range(3)]
    g = rng.standard_normal((2, 2, 20, 8)).astype(dtype)
    other = [
        views,
        [view[:, :, ::-1] for view in views],
        [view[:, ::-1, ::2] for view in views],
        [np.broadcast_to(view[:, :1], view.shape) for view in views],
        [view[..., ::-1] for view in views],
        [view.swapaxes(2, 3).copy().swapaxes(2, 3) for view in views],
    ]
    for q, k, v in other:
        expected = computed(*(np.ascontiguousarray(array) for array in (q, k, v)), g[:, :, : q.shape[2]])
        for one, exact in zip(computed(q, k, v, g[:, :, : q.shape[2]]), expected, strict=True):
            np.testing.assert_array_equal(one, exact)


def test_results_lie_in_memory_as_positions_by_heads(dtype, rng):
    q, k, v, g = operands(rng, dtype, 2, 4, 2, 5, 6, 8, 3)
    out, _, *gradients = computed(q, k, v, g)
    for array in (out, *gradients):
        assert array.transpose(0, 2, 1, 3).flags.c_contiguous


def test_any_number_of_leading_dimensions(dtype, rng):
    q, k, v, g = (rng.standard_normal((2, 3, 4, 5, 6)).astype(dtype) for _ in range(4))
    whole = computed(q, k, v, g)
    for lead in ((), (1,), (1, 2), (1, 2, 3)):
        for one, part in zip(computed(*(array[lead] for array in (q, k, v, g))), whole, strict=True):
            np.testing.assert_array_equal(one, part[lead])


def test_keys_of_fewer_dimensions_serve_all(dtype, rng):
    q, k, v = (rng.standard_normal(shape).astype(dtype) for shape in ((2, 4, 5, 6), (7, 6), (4, 7, 3)))
    out, _ = attention(q, k, v)
    expected, _ = attention(q, *(np.broadcast_to(array, (2, 4, *array.shape[-2:])) for array in (k, v)))
    np.testing.assert_array_equal(out, expected)


def test_a_query_with_nothing_to_attend_gives_zeros_and_no_gradient(dtype, rng):
    q, k, v, g = operands(rng, dtype, 1, 2, 2, 30, 300, 8, 8)
    mask = np.ones((30, 300), bool)
    mask[3] = False
    for hidden in (mask, np.where(mask, dtype(0), dtype(-inf))):
        out, logsumexp, dq, dk, dv = computed(q, k, v, g, hidden)
        assert (out[:, :, 3] == 0).all()
        assert (dq[:, :, 3] == 0).all()
        assert (logsumexp[:, :, 3] == -inf).all()
        rest = np.arange(30) != 3
        without = computed(q[:, :, rest], k, v, g[:, :, rest])
        np.testing.assert_allclose(dk, without[3], atol=1e-4)
        np.testing.assert_allclose(dv, without[4], atol=1e-4)
    assert all((array == 0).all() for array in computed(q, k, v, g, np.zeros((300,), bool))[2:])


def test_nan_stays_in_the_rows_that_meet_it(dtype, rng):
    q, k, v, g = operands(rng, dtype, 1, 2, 2, 30, 40, 8, 8)
    q[0, 1, 5, 2] = nan
    out, logsumexp, dq, dk, dv = computed(q, k, v, g)
    for array in (out, dq, logsumexp[..., None]):
        assert np.argwhere(np.isnan(array).any(-1)).tolist() == [[0, 1, 5]]
    for array in (dk, dv):
        assert np.isfinite(array[0, 0]).all()
    v[0, 0, 3, 1] = nan
    assert np.argwhere(np.isnan(attention(q, k, v)[0][0, 0]).any(0)).tolist() == [[1]]


def test_infinite_scores_share_all_weight(dtype, rng):
    q, k, v, _ = operands(rng, dtype, 1, 1, 1, 3, 300, 4, 4)
    added = np.zeros((3, 300), dtype)
    added[1, [0, 299]] = inf
    out, normalizer = attention(q, k, v, added)
    logsumexp = normalizer.sum(-1)
    np.testing.assert_allclose(out[0, 0, 1], v[0, 0, [0, 299]].mean(0), rtol=1e-6)
    assert np.isinf(logsumexp[0, 0]).tolist() == [False, True, False]


def test_large_scores_do_not_overflow(dtype):
    x = np.full((1, 1, 3, 4), np.finfo(dtype).max ** 0.4, dtype)
    x[:, :, 1] *= -1
    for array in computed(x, x, np.ones_like(x), np.ones_like(x)):
        assert np.isfinite(array).all()


@pytest.mark.parametrize(
    "sizes", [(0, 1, 1, 2, 3, 4, 5), (1, 1, 1, 0, 3, 4, 5), (1, 1, 1, 2, 0, 4, 5), (1, 1, 1, 2, 3, 4, 0)]
)
def test_empty_arrays(dtype, rng, sizes):
    q, k, v, g = operands(rng, dtype, *sizes)
    found = computed(q, k, v, g)
    shapes = [g.shape, q.shape[:3], q.shape, k.shape, v.shape]
    assert [array.shape for array in found] == shapes
    assert all((array == 0).all() for array in (found[0], *found[2:]))


def test_dropout_of_everything_leaves_zeros(dtype, rng):
    q, k, v, g = operands(rng, dtype, 1, 1, 1, 5, 6, 4, 4)
    out, _, *gradients = computed(q, k, v, g, dropout=1.0)
    assert all((array == 0).all() for array in (out, *gradients))


def test_memory_is_linear_in_length(dtype, rng):
    q, k, v, g = operands(rng, dtype, 1, 1, 1, 2000, 2000, 8, 8)
    computed(q, k, v, g)
    tracemalloc.start()
    computed(q, k, v, g)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * q.nbytes  # the scores alone are 250 times as large


def test_invalid_arguments_are_named():
    q, k = np.ones((2, 3, 4)), np.ones((2, 5, 4))
    with pytest.raises(TypeError, match="query must be a float32 or float64 array; got int64"):
        attention(q.astype(int), k, k)
    with pytest.raises(TypeError, match="value must have the dtype of query, float64; got float32"):
        attention(q, k, k.astype(np.float32))
    with pytest.raises(ValueError, match=r"key must have the query's 4 features; got shape \(2, 5, 3\)"):
        attention(q, k[..., :3], k)
    with pytest.raises(ValueError, match=r"value must have the key's 5 positions; got shape \(2, 3, 4\)"):
        attention(q, k, q)
    with pytest.raises(ValueError, match="its 2 heads cannot serve 3 query heads evenly"):
        attention(np.ones((3, 3, 4)), k, k)
    with pytest.raises(ValueError, match="do not fit"):
        attention(np.ones((2, 2, 3, 4)), np.ones((3, 2, 5, 4)), np.ones((3, 2, 5, 4)))
    with pytest.raises(ValueError, match=r"mask must broadcast to \(2, 3, 5\); got \(7,\)"):
        attention(q, k, k, np.ones(7, bool))
    with pytest.raises(TypeError, match="mask must be boolean or floating; got int64"):
        attention(q, k, k, np.ones(5, int))
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]; got 2"):
        attention(q, k, k, dropout=2)
    with pytest.raises(ValueError, match=r"must be matrices; got \(4,\)"):
        attention(np.ones(4), k, k)
    out, normalizer = attention(q, k, k)
    with pytest.raises(ValueError, match=r"g must have shape \(2, 3, 4\); got \(3, 4\)"):
        attention_backward(q[0], q, k, k, out, normalizer)
    with pytest.raises(ValueError, match=r"out must have shape \(2, 3, 4\); got \(2, 2, 4\)"):
        attention_backward(q, q, k, k, out[:, :2], normalizer)
    with pytest.raises(ValueError, match=r"normalizer must have shape \(2, 3, 2\); got \(2, 1, 2\)"):
        attention_backward(q, q, k, k, out, normalizer[:, :1])


def test_no_heads_give_an_empty_result(dtype):
    q, k = np.ones((2, 0, 3, 4), dtype), np.ones((2, 0, 5, 4), dtype)
    out, normalizer = attention(q, k, k)
    assert out.shape == (2, 0, 3, 4)
    assert [array.shape for array in attention_backward(out, q, k, k, out, normalizer)] == [q.shape, k.shape, k.shape]


@pytest.mark.parametrize("queries", [1, 2, 5, 8])
def test_few_queries_read_keys_where_they_lie(dtype, rng, queries):
    q, k, v, g = operands(rng, dtype, 2, 2, 2, queries, 300, 20, 24)
    for keys in (k, np.broadcast_to(k[:, :, :1], k.shape), k[:, :, ::-1]):
        assert_close(computed(q, keys, v, g), reference(q, keys, v, g), q, keys, v, g)


def test_large_scores_lose_no_digit_of_the_weights(dtype):
    """The maximum is taken off before the logarithm of the sum, not with it."""
    q, k = np.full((1, 1), 1e4, dtype), np.full((5, 1), 1e3, dtype)
    v, g = np.eye(5, dtype=dtype), np.ones((1, 5), dtype)
    out, normalizer = attention(q, k, v, scale=1.0)
    _, _, dv = attention_backward(g, q, k, v, out, normalizer, scale=1.0)
    np.testing.assert_allclose(out, np.full((1, 5), 0.2), rtol=1e-6)
    np.testing.assert_allclose(dv, np.full((5, 5), 0.2), rtol=1e-6)


def test_small_weights_are_as_exact_as_large_ones(dtype):
    scores = np.linspace(-80, 0, 200).astype(dtype)
    weights, _ = attention(np.ones((1, 1), dtype), scores[:, None], np.eye(200, dtype=dtype), scale=1.0)
    exact = np.exp(scores.astype(np.longdouble))
    exact /= exact.sum()
    assert (abs(weights[0] - exact) <= 4 * np.spacing(exact.astype(dtype))).all()


@settings(max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 70)),
    serves=st.sampled_from([1, 2]),
    causal=st.booleans(),
    precision=st.sampled_from([np.float32, np.float64]),
)
def test_both_passes_make_the_same_weights_of_scores_whose_last_bit_is_more_than_one(sizes, serves, causal, precision):
    queries, keys, features = sizes
    rng, large = np.random.default_rng(sizes), 3e3 if precision is np.float32 else 3e8
    q = (large * rng.standard_normal((2 * serves, queries, features))).astype(precision)
    k = (large * rng.standard_normal((2, keys, features))).astype(precision)
    v = np.broadcast_to(np.eye(keys, dtype=precision), (2, keys, keys))
    weights, normalizer = attention(q, k, v, causal=causal)
    _, _, dv = attention_backward(np.ones_like(weights), q, k, v, weights, normalizer, causal=causal)
    total = weights.reshape(2, serves * queries, keys).sum(1)
    np.testing.assert_allclose(dv[..., 0], total, rtol=1e-5, atol=1e-5 * queries)
