"""Products with quantised weights against float64: integers exactly, floats within the bound of error analysis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad.kernels import quantize, quantized_matmul, quantized_matrix
from minigrad.kernels.products.blocking import MC
from minigrad.kernels.products.quantized import FEW, FORMATS, LONGEST_SUM, QuantizedMatrix
from minigrad.kernels.products.register_tile import ROW_STEPS, TILE_ROWS

EPS = float(np.finfo(np.float32).eps)

sizes = st.one_of(st.integers(0, 70), st.sampled_from([127, 129, 385]))


@pytest.fixture(params=list(FORMATS))
def format(request: pytest.FixtureRequest) -> str:
    return request.param


def assert_product(x: np.ndarray, weight: QuantizedMatrix, bias: np.ndarray, result: np.ndarray) -> None:
    """Sums in float32 are off by gamma(k) of their terms' sizes, activations of int8 by half of a row's step."""
    exact, values = x.astype(np.float64), weight.dequantized().astype(np.float64)
    step = abs(exact).max(axis=-1, initial=0, keepdims=True) / 127 if weight.format == "int8" else 0
    bound = (x.shape[-1] + 8) * EPS * (abs(exact) @ abs(values).T + abs(bias))
    bound += step * (0.5 + 256 * EPS) * abs(values).sum(axis=1)
    assert result.shape == (*x.shape[:-1], len(values))
    assert result.dtype == np.float32
    assert (abs(result - (exact @ values.T + bias)) <= bound).all()


@settings(deadline=None, max_examples=150)
@given(m=st.integers(0, 3 * TILE_ROWS + 1), n=sizes, k=sizes, format=st.sampled_from(list(FORMATS)))
def test_product_is_that_of_the_dequantized_weights(m, n, k, format):
    rng = np.random.default_rng([m, n, k])
    x, bias = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal(n).astype(np.float32)
    weight = quantize(rng.standard_normal((n, k)).astype(np.float32), format)
    assert_product(x, weight, bias, quantized_matmul(x, weight, bias))
    assert_product(x, weight, np.zeros(n), quantized_matmul(x, weight))


@settings(deadline=None, max_examples=150)
@given(m=st.sampled_from([*ROW_STEPS, 3, TILE_ROWS + 1]), n=sizes, k=sizes, format=st.sampled_from(list(FORMATS)))
def test_small_integers_give_exact_products(m, n, k, format):
    rng = np.random.default_rng([m, n, k])
    x, q = rng.integers(-127, 128, (m, k)), rng.integers(-128, 128, (n, k))
    x[:, :1] = 127  # so that a step of a row is 1
    scales = None if format == "bfloat16" else np.exp2(rng.integers(-3, 4, n)).astype(np.float32)
    values = (q.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16) if scales is None else q.astype(np.int8)
    weight = quantized_matrix(values, scales, format)
    expected = (x @ q.T) * (1.0 if scales is None else scales)
    np.testing.assert_array_equal(quantized_matmul(x.astype(np.float32), weight), expected)


@pytest.mark.parametrize(("m", "n", "k"), [(2 * MC + 7, 100, 40), (3, 3000, 130), (1, 50, 4099), (40, 513, 768)])
def test_large_products(rng, format, m, n, k):
    x, bias = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal(n).astype(np.float32)
    weight = quantize(rng.standard_normal((n, k)).astype(np.float32), format)
    assert_product(x, weight, bias, quantized_matmul(x, weight, bias))


def test_the_longest_sum_of_the_largest_integers_does_not_overflow():
    values = np.full((1, LONGEST_SUM), -128, np.int8)
    weight = quantized_matrix(values, np.ones(1, np.float32), "int8")
    x = np.full((1, LONGEST_SUM), 127, np.float32)
    assert quantized_matmul(x, weight).item() == -128 * 127 * LONGEST_SUM
    with pytest.raises(ValueError, match="values must have at most 65536 columns for 'int8'; got 65537"):
        quantized_matrix(np.zeros((1, LONGEST_SUM + 1), np.int8), np.ones(1, np.float32), "int8")


def test_any_strides_and_leading_dimensions(rng, format):
    weight = quantize(rng.standard_normal((33, 20)).astype(np.float32), format)
    x, bias = rng.standard_normal((2, 3, 4, 20)).astype(np.float32), rng.standard_normal(66).astype(np.float32)[::2]
    expected = quantized_matmul(x.reshape(24, 20), weight, bias).reshape(2, 3, 4, 33)
    for view in (x, np.asfortranarray(x), np.repeat(x, 2, axis=-1)[..., ::2], x[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(quantized_matmul(view, weight, bias), expected)
    assert quantized_matmul(x[0, 0, 0], weight, bias).shape == (33,)


def test_rows_do_not_depend_on_their_neighbours(rng, format):
    """The same bits beside few others, and beside many but for float sums of another order."""
    weight = quantize(rng.standard_normal((50, 60)).astype(np.float32), format)
    x = rng.standard_normal((FEW + 13, 60)).astype(np.float32)
    alone = np.stack([quantized_matmul(row, weight) for row in x])
    np.testing.assert_array_equal(quantized_matmul(x[:FEW], weight), alone[:FEW])
    together = quantized_matmul(x, weight)
    if format == "int8":
        np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together, alone, rtol=0, atol=60 * EPS * 60)


def test_nan_and_infinities_stay_in_their_rows(rng, format):
    weight = quantize(rng.standard_normal((40, 30)).astype(np.float32), format)
    x = rng.standard_normal((9, 30)).astype(np.float32)
    expected = quantized_matmul(x, weight)
    x[2, 3], x[5, 7] = np.nan, np.inf
    found = quantized_matmul(x, weight)
    assert np.isnan(found[2]).all()
    assert not np.isfinite(found[5]).any()
    np.testing.assert_array_equal(np.delete(found, [2, 5], axis=0), np.delete(expected, [2, 5], axis=0))


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38, 1e30])
def test_rows_of_any_size(rng, format, size):
    x = (rng.uniform(-1, 1, (3, 40)) * size).astype(np.float32)
    w = (rng.uniform(-1, 1, (8, 40)) * min(size, 1e5)).astype(np.float32)
    found = quantized_matmul(x, quantize(w, format))
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    np.testing.assert_allclose(found, exact, rtol=0, atol=40 * max(size * min(size, 1e5), 1e-37) / 40)


def test_weights_are_the_nearest_that_the_format_holds(rng, format):
    w = rng.standard_normal((30, 50)).astype(np.float32)
    w[3] = 0
    weight = quantize(w, format)
    largest = abs(w).max(axis=1, keepdims=True)
    half_a_step = np.ldexp(1.0, np.frexp(w)[1] - 9) if format == "bfloat16" else largest / 254
    assert (abs(weight.dequantized() - w) <= half_a_step * (1 + 4 * EPS)).all()


def test_what_does_not_fit_is_named(rng):
    w = np.ones((3, 4), np.float32)
    for arguments, error, message in (
        ((w, "int4"), ValueError, "format must be one of int8, int8-weights, bfloat16; got 'int4'"),
        ((w[0], "int8"), ValueError, "weight must be a finite matrix"),
        ((w * np.inf, "int8"), ValueError, "weight must be a finite matrix"),
        ((w.astype(np.float64), "int8"), TypeError, "weight must be a float32 array; got float64"),
    ):
        with pytest.raises(error, match=message):
            quantize(*arguments)
    weight = quantize(w, "int8")
    with pytest.raises(ValueError, match="x must have 4 columns"):
        quantized_matmul(w.T, weight)
    with pytest.raises(TypeError, match="x must be a float32 array; got float64"):
        quantized_matmul(np.ones((2, 4)), weight)
    with pytest.raises(ValueError, match="bias must have shape"):
        quantized_matmul(w, weight, np.ones(4, np.float32))
    with pytest.raises(TypeError, match="values must be int8"):
        quantized_matrix(np.ones((2, 2), np.uint16), np.ones(2, np.float32), "int8")
    with pytest.raises(ValueError, match="scales must be an array"):
        quantized_matrix(np.ones((2, 2), np.int8), None, "int8")
