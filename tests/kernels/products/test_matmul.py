"""The matrix product against its plain loops, and NumPy, in double precision, within the bound of error analysis."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad.kernels import matmul
from minigrad.kernels.compiling.parallel import get_num_threads, set_num_threads
from minigrad.kernels.compiling.vector import lanes_of
from minigrad.kernels.products.blocking import IN_PLACE_COLUMNS_ALONG, KC, MC, NC
from minigrad.kernels.products.plain import matmul as plain_matmul
from minigrad.kernels.products.register_tile import ROW_STEPS, TILE_ROWS

LAYOUTS = ["rows", "columns", "every second", "reversed", "repeated row", "repeated column", "unaligned"]


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same shape and dtype with other strides; the values of repeated layouts differ."""
    *lead, rows, columns = array.shape
    if layout == "columns":
        return np.ascontiguousarray(array.mT).mT
    if layout == "every second":
        big = np.full((*lead, 2 * rows, 3 * columns), np.nan, array.dtype)
        big[..., ::2, ::3] = array
        return big[..., ::2, ::3]
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1, ::-1])[..., ::-1, ::-1]
    if layout == "repeated row":
        return np.broadcast_to(array[..., :1, :], array.shape)
    if layout == "repeated column":
        return np.broadcast_to(array[..., :, :1], array.shape)
    if layout == "unaligned":
        raw = np.empty(array.nbytes + 1, np.uint8)[1:]
        view = raw.view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    return array


def rounded(array: np.ndarray, precision: str | None = "bfloat16") -> np.ndarray:
    """As float64: 8 significant bits for bfloat16, ties to even. Its exponents are those of float32."""
    mantissas, exponents = np.frexp(np.array(array, np.float64, order="C"))
    if precision is None or array.dtype == np.float64:
        return np.ldexp(mantissas, exponents)
    return np.ldexp(np.rint(np.ldexp(mantissas, 8)), exponents - 8)


def assert_product(a: np.ndarray, b: np.ndarray, result: np.ndarray, precision: str | None = None) -> None:
    """|error| <= gamma(k) |a| |b| (Higham, Accuracy and Stability, eq. 3.13), twice for the oracle's own in float64."""
    exact_a, exact_b = rounded(a, precision), rounded(b, precision)
    expected = plain_matmul(exact_a, exact_b) if a.ndim == b.ndim == 2 else np.matmul(exact_a, exact_b)
    bound = 2 * (a.shape[-1] + 1) * np.finfo(a.dtype).eps * np.matmul(abs(exact_a), abs(exact_b))
    assert result.shape == expected.shape
    assert result.dtype == a.dtype
    assert (abs(result - expected) <= bound).all()


sizes = st.one_of(
    st.integers(0, 40),
    st.sampled_from([TILE_ROWS, MC, KC, 64, 128]).flatmap(lambda size: st.integers(size - 1, size + 1)),
)


@settings(deadline=None, max_examples=150)
@given(
    m=sizes,
    n=sizes,
    k=sizes,
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS)),
    dtype=st.sampled_from([np.float32, np.float64]),
    precision=st.sampled_from([None, "bfloat16"]),
)
def test_product_is_right_for_any_sizes_and_strides(m, n, k, layouts, dtype, precision):
    rng = np.random.default_rng([m, n, k])
    a = rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((k, n)).astype(dtype)
    if min(m, n, k) > 0:
        a, b = laid_out(a, layouts[0]), laid_out(b, layouts[1])
    assert_product(a, b, matmul(a, b, precision=precision), precision)


@pytest.mark.parametrize("layout_a", LAYOUTS)
@pytest.mark.parametrize("layout_b", LAYOUTS)
def test_every_pair_of_layouts(dtype, rng, precision, layout_a, layout_b):
    a = laid_out(rng.standard_normal((27, 65)).astype(dtype), layout_a)
    b = laid_out(rng.standard_normal((65, 70)).astype(dtype), layout_b)
    assert_product(a, b, matmul(a, b, precision=precision), precision)


def test_every_register_tile_and_its_edges(dtype, rng, precision):
    lanes = lanes_of(dtype)
    widths = {v * lanes + d for v in range(4) for d in (-1, 0, 1)}
    for n in sorted(width for width in widths if width > 0):
        for m in {*ROW_STEPS, TILE_ROWS + 1, 3}:
            b = rng.standard_normal((9, n)).astype(dtype)
            for a in (rng.standard_normal((m, 9)).astype(dtype), rng.standard_normal((9, m)).astype(dtype).T):
                assert_product(a, b, matmul(a, b, precision=precision), precision)


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (MC + 1, NC + 1, KC + 1),
        (2 * MC + 13, IN_PLACE_COLUMNS_ALONG + 1, 3),
        (1, NC + 33, 37),
        (25, 2 * NC + 5, 40),
        (300, 17, 2 * KC + 1),
    ],
)
@pytest.mark.parametrize("layout", ["rows", "columns", "every second"])
def test_products_larger_than_a_block(dtype, rng, precision, m, n, k, layout):
    a = laid_out(rng.standard_normal((m, k)).astype(dtype), layout)
    b = laid_out(rng.standard_normal((k, n)).astype(dtype), layout)
    assert_product(a, b, matmul(a, b, precision=precision), precision)


@pytest.mark.parametrize("m", [1, 2, 4, 5, 8, 9])
def test_few_rows_times_a_transposed_matrix(dtype, rng, precision, m):
    for n, k in [(1, 200), (3, 128), (37, 129), (64, 1000)]:
        a = rng.standard_normal((m, k)).astype(dtype)
        b = rng.standard_normal((n, k)).astype(dtype)
        assert_product(a, b.T, matmul(a, b.T, precision=precision), precision)
        assert_product(b, a.T, matmul(b, a.T, precision=precision), precision)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((6,), (6,)),
        ((6,), (6, 3)),
        ((5, 6), (6,)),
        ((2, 5, 6), (6,)),
        ((6,), (2, 6, 3)),
        ((2, 5, 6), (6, 7)),
        ((5, 6), (2, 6, 7)),
        ((3, 1, 5, 6), (1, 4, 6, 7)),
        ((2, 3, 4, 5, 6), (4, 6, 7)),
        ((4, 1, 6), (6, 7)),
        ((4, 1, 6), (4, 6, 1)),
        ((0, 5, 6), (6, 7)),
        ((2, 0, 6), (2, 6, 3)),
        ((2, 5, 0), (2, 0, 3)),
        ((65, 33, 20), (65, 20, 40)),
        ((3, 100, 64), (3, 64, 100)),
    ],
)
def test_leading_dimensions_broadcast(dtype, rng, left, right):
    a, b = rng.standard_normal(left).astype(dtype), rng.standard_normal(right).astype(dtype)
    assert_product(a, b, matmul(a, b))


def test_heads_of_attention_without_copies(dtype, rng):
    query, key = (rng.standard_normal((3, 20, 4, 16)).astype(dtype).transpose(0, 2, 1, 3) for _ in range(2))
    scores = matmul(query, key.mT)
    assert_product(query, key.mT, scores)
    assert_product(scores, key, matmul(scores, key))
    assert_product(scores.mT, query, matmul(scores.mT, query))
    joined = np.empty((3, 20, 4, 16), dtype)
    matmul(scores, key, out=joined.transpose(0, 2, 1, 3))
    assert_product(scores, key, joined.transpose(0, 2, 1, 3))


def test_an_empty_sum_is_zero(dtype):
    out = np.full((3, 4), np.nan, dtype)
    matmul(np.empty((3, 0), dtype), np.empty((0, 4), dtype), out=out)
    assert (out == 0).all()


@pytest.mark.parametrize("order", ["C", "F", "strided", "operand"])
def test_out_is_filled_and_returned(dtype, rng, order):
    a, b = rng.standard_normal((30, 30)).astype(dtype), rng.standard_normal((30, 30)).astype(dtype)
    expected = matmul(a, b)
    out = {
        "C": np.empty((30, 30), dtype),
        "F": np.empty((30, 30), dtype).T,
        "strided": np.empty((60, 60), dtype)[::2, ::2],
        "operand": a,
    }[order]
    assert matmul(a, b, out=out) is out
    assert np.allclose(out, expected, rtol=100 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps)


def test_out_writes_nothing_beyond_itself(dtype, rng):
    frame = np.zeros((40, 100), dtype)
    a, b = rng.standard_normal((13, 50)).astype(dtype), rng.standard_normal((50, 37)).astype(dtype)
    matmul(a, b, out=frame[5:18, 9:46])
    assert_product(a, b, frame[5:18, 9:46])
    frame[5:18, 9:46] = 0
    assert (frame == 0).all()


def test_operands_are_not_read_beyond_their_edges(dtype, precision):
    """NaN all around: a vector load over the edge that reached a result would show."""
    frame = np.full((60, 150), np.nan, dtype)
    inner = frame[7:20, 11:48]
    inner[...] = 1
    assert (matmul(inner, inner.T, precision=precision) == inner.shape[1]).all()
    assert (matmul(inner.T, inner, precision=precision) == inner.shape[0]).all()


def test_the_same_product_gives_the_same_bits_whatever_the_threads(dtype, rng, precision):
    a, b = rng.standard_normal((200, 300)).astype(dtype), rng.standard_normal((300, 250)).astype(dtype)
    first = matmul(a, b, precision=precision)
    assert np.array_equal(first, matmul(a, b, precision=precision))
    threads = get_num_threads()
    try:
        set_num_threads(1)
        assert np.array_equal(first, matmul(a, b, precision=precision))
    finally:
        set_num_threads(threads)


def test_infinities_and_nan_stay_in_their_rows_and_columns(dtype, precision):
    a, b = np.ones((20, 40), dtype), np.ones((40, 50), dtype)
    a[3, 5], b[7, 9] = np.nan, np.inf
    result = matmul(a, b, precision=precision)
    assert np.isnan(result[3]).all()
    assert np.isinf(np.delete(result[:, 9], 3)).all()
    assert (np.delete(np.delete(result, 3, axis=0), 9, axis=1) == 40).all()


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 5)), ValueError, "3 columns meet 4 rows"),
        (np.ones((2, 3, 4)), np.ones((3, 4, 5)), ValueError, "do not broadcast"),
        (np.ones(()), np.ones((3, 4)), ValueError, "a must have at least one dimension"),
        (np.ones((2, 3), np.int64), np.ones((3, 4)), TypeError, "a must be a float32 or float64 array; got int64"),
        (np.ones((2, 3)), np.ones((3, 4), np.float32), TypeError, "b must have the dtype of a, float64; got float32"),
        (np.ones((2, 3), ">f8"), np.ones((3, 4), ">f8"), TypeError, "a must be a float32 or float64 array"),
    ],
)
def test_operands_that_do_not_fit_are_named(a, b, error, message):
    with pytest.raises(error, match=message):
        matmul(a, b)


def test_an_out_that_does_not_fit_is_named():
    a = np.ones((2, 2))
    with pytest.raises(ValueError, match=r"out must have the shape of the product, \(2, 2\); got \(2, 3\)"):
        matmul(a, a, out=np.empty((2, 3)))
    with pytest.raises(TypeError, match="out must have the dtype of the operands, float64; got float32"):
        matmul(a, a, out=np.empty((2, 2), np.float32))
    frozen = np.empty((2, 2))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writeable"):
        matmul(a, a, out=frozen)


@pytest.mark.parametrize("rows", [1, 20])  # read as they lie, and packed
@pytest.mark.parametrize("transposed", [False, True])
def test_operands_become_the_nearest_bfloat16(rng, rows, transposed):
    bits = rng.integers(0, 1 << 32, 4096, np.uint32)
    bits[:4] = 0x7F7FFFFF, 0x7F800001, 0xFFFFFFFF, 0x3F808000  # the largest, which rounds to inf; NaN twice; a tie
    values = bits.view(np.float32)
    values = values[~(abs(values) < np.finfo(np.float32).tiny)]  # an instruction may take subnormals for 0
    ones = np.ones((1, rows), np.float32)
    found = (
        matmul(values[:, None], ones, precision="bfloat16")
        if transposed
        else matmul(ones.T, values[None], precision="bfloat16").T
    )
    with np.errstate(over="ignore", invalid="ignore"):  # infinities, and signalling NaN
        expected = rounded(values).astype(np.float32)
    np.testing.assert_array_equal(found, np.broadcast_to(expected[:, None], found.shape))


def test_an_unknown_precision_is_refused(dtype):
    with pytest.raises(ValueError, match="precision must be None or 'bfloat16'; got 'float16'"):
        matmul(np.ones((2, 2), dtype), np.ones((2, 2), dtype), precision="float16")


def test_references_are_given_back(rng):
    a = rng.standard_normal((8, 8))
    before = sys.getrefcount(a)
    for _ in range(10):
        matmul(a, a)
    assert sys.getrefcount(a) == before


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [(1, 300, 70), (5, 300, 70), (8, 130, 33), (65, 2 * KC + 3, 45), (3, 0, 5), (4, 9, 1), (1, 9, 1), (0, 3, 4)],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_bias_is_added_to_every_row_once(dtype, rng, m, k, n, transposed):
    a, bias = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal(n).astype(dtype)
    b = rng.standard_normal((n, k)).astype(dtype).T if transposed else rng.standard_normal((k, n)).astype(dtype)
    result = matmul(a, b, bias=bias)
    # The bias is one more summand of every inner product.
    ones = np.ones((m, 1), dtype)
    assert_product(np.concatenate([a, ones], axis=1), np.concatenate([b, bias[None]]), result)


def test_a_bias_is_added_in_every_product_of_a_batch(dtype, rng):
    a, b = rng.standard_normal((3, 4, 5)).astype(dtype), rng.standard_normal((3, 5, 6)).astype(dtype)
    bias = rng.standard_normal(12).astype(dtype)[::2]
    np.testing.assert_allclose(matmul(a, b, bias=bias), a @ b + bias, rtol=1e-4)


def test_a_bias_of_another_shape_or_dtype_is_refused(dtype):
    a, b = np.ones((2, 3), dtype), np.ones((3, 4), dtype)
    with pytest.raises(ValueError, match="bias must have shape"):
        matmul(a, b, bias=np.ones(3, dtype))
    with pytest.raises(TypeError, match="bias must have the dtype of a"):
        matmul(a, b, bias=np.ones(4, np.int64))
