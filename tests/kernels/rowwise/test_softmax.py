"""Softmax, its logarithm and their gradients against the plain loop, and NumPy, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad.kernels import log_softmax, log_softmax_backward, logsumexp, softmax, softmax_backward
from minigrad.kernels.rowwise import plain

inf, nan = np.inf, np.nan


def reference(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """log softmax in double precision."""
    shifted = x.astype(np.float64) - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    data=st.data(),
    precision=st.sampled_from([np.float32, np.float64]),
    scale=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_values_and_gradients_are_right_along_any_axis(shape, data, precision, scale):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(shape)
    x, g = (rng.standard_normal(shape).astype(precision) for _ in range(2))
    x *= precision(scale)
    eps = np.finfo(precision).eps
    n, size = shape[axis], 1 + abs(x).max()
    log_y = reference(x, axis)
    expected = np.exp(log_y)
    y, logs = softmax(x, axis), log_softmax(x, axis)
    assert y.dtype == logs.dtype == precision
    # The shifted argument is off by eps/2 of itself, the exponential by 2 units, the sum by n.
    np.testing.assert_allclose(y, expected, rtol=(2 * size + n + 4) * eps, atol=np.finfo(precision).tiny)
    np.testing.assert_allclose(logs, log_y, rtol=0, atol=(4 * size + n + 4) * eps)
    # It is x - log softmax everywhere, and computed in double precision.
    rows = np.moveaxis(x, axis, -1)
    exact = rows[..., 0] - np.moveaxis(log_y, axis, -1)[..., 0]
    np.testing.assert_allclose(logsumexp(rows), exact, rtol=0, atol=(4 * size + n + 4) * np.finfo(np.float64).eps)
    weight = abs(g).sum(axis=axis, keepdims=True)
    exact = expected * (g - (g * expected).sum(axis=axis, keepdims=True))
    assert (abs(softmax_backward(g, y, axis) - exact) <= (4 * size + 2 * n + 8) * eps * weight).all()
    exact = g - expected * g.astype(np.float64).sum(axis=axis, keepdims=True)
    assert (abs(log_softmax_backward(g, logs, axis) - exact) <= (8 * size + 3 * n + 8) * eps * weight).all()


@pytest.mark.parametrize("n", [1, 15, 16, 17, 64, 65, 1000])
def test_long_rows_and_tails(dtype, rng, n):
    x = rng.standard_normal((33, n)).astype(dtype)
    np.testing.assert_allclose(softmax(x), plain.softmax(x.astype(np.float64)), rtol=(n + 20) * np.finfo(dtype).eps)


def test_many_rows_on_all_threads(dtype, rng):
    x = rng.standard_normal((1001, 129)).astype(dtype)
    np.testing.assert_allclose(softmax(x), plain.softmax(x.astype(np.float64)), rtol=200 * np.finfo(dtype).eps)
    assert np.array_equal(softmax(x), softmax(x))


def test_any_strides(dtype, rng):
    x = rng.standard_normal((12, 14)).astype(dtype)
    for view in (x.T, x[::-1, ::-1], x[::2, ::3], np.broadcast_to(x[:1], (5, 14)), np.broadcast_to(x[:, :1], (12, 3))):
        np.testing.assert_allclose(softmax(view), softmax(view.copy()), rtol=0)
        np.testing.assert_allclose(softmax(view, axis=0), softmax(view.copy(), axis=0), rtol=0)


def test_rows_of_infinities(dtype):
    x = np.array([[-inf, -inf, -inf], [1, inf, inf], [-inf, 0, 0], [nan, 1, 2], [0, 0, -inf]], dtype)
    half = np.log(dtype(0.5))
    np.testing.assert_allclose(softmax(x), [[0, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5], [nan] * 3, [0.5, 0.5, 0]])
    np.testing.assert_allclose(
        log_softmax(x), [[-inf] * 3, [-inf, half, half], [-inf, half, half], [nan] * 3, [half, half, -inf]], rtol=1e-6
    )


def test_the_logarithm_of_a_sum_with_infinities(dtype):
    x = np.array([[-inf, -inf], [inf, 0], [inf, inf], [nan, inf], [-nan, -inf], [0, nan], [0, -inf]], dtype)
    assert np.array_equal(logsumexp(x), [-inf, inf, inf, nan, nan, nan, 0], equal_nan=True)
    big = np.finfo(dtype).max
    assert logsumexp(np.array([big, 0, -big], dtype)) == big


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_the_logarithm_of_no_sum_is_refused(shape):
    with pytest.raises(ValueError, match="x must have at least one entry in a row"):
        logsumexp(np.empty(shape))
    assert logsumexp(np.empty((0, 3))).shape == (0,)


def test_a_row_with_nothing_to_attend_has_no_gradient(dtype):
    x = np.full((2, 4), -inf, dtype)
    g = np.ones_like(x)
    assert (softmax_backward(g, softmax(x)) == 0).all()
    assert (log_softmax_backward(g, log_softmax(x)) == 0).all()


def test_huge_values_do_not_overflow(dtype):
    big = np.finfo(dtype).max / 2
    x = np.array([[big, big, -big], [-big, -big, -big]], dtype)
    np.testing.assert_allclose(softmax(x), [[0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)
    assert log_softmax(np.array([0, -1000], dtype)).tolist() == [0, -1000]


def test_nan_beside_infinities_fills_its_row(dtype):
    x = np.array([[nan, inf, 0], [-inf, nan, -inf], [inf, 0, nan], [-nan] * 3, [-inf, -nan, inf]], dtype)
    assert np.isnan(softmax(x)).all()
    assert np.isnan(log_softmax(x)).all()


def test_nan_anywhere_fills_its_row_only(dtype, rng):
    for place in range(40):
        x = rng.standard_normal((3, 40)).astype(dtype)
        x[1, place] = nan
        assert np.isnan(softmax(x)).all(axis=1).tolist() == [False, True, False]
        assert np.isnan(log_softmax(x)).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3)])
def test_empty_arrays_stay_empty(dtype, shape):
    x = np.empty(shape, dtype)
    for result in (softmax(x), log_softmax(x), softmax_backward(x, x), log_softmax_backward(x, x)):
        assert result.shape == shape


def test_invalid_arguments_are_named():
    x = np.ones((2, 3))
    with pytest.raises(TypeError, match="x must be a float32 or float64 array; got int64"):
        softmax(np.ones(3, np.int64))
    with pytest.raises(ValueError, match="axis must be an axis of x, which has 2; got 2"):
        softmax(x, axis=2)
    with pytest.raises(ValueError, match=r"g must have shape \(2, 3\); got \(3,\)"):
        softmax_backward(np.ones(3), x)
    with pytest.raises(TypeError, match="g must have the dtype of y, float64; got float32"):
        log_softmax_backward(x.astype(np.float32), x)
