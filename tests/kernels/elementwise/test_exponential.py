"""The kernels' exponential: accuracy, and the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels.compiling.compiler import SUMS, kernel
from minigrad.kernels.elementwise.exponential import exp, exp_nonpositive, expm1_nonpositive


@kernel(fastmath=SUMS)  # the flags must not spoil the argument reduction
def _exps(x, y):
    for i in range(len(x)):
        y[i] = exp(x[i])


def exps(x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    _exps(x, y)
    return y


@kernel(fastmath=SUMS)
def _exps_nonpositive(x, y):
    for i in range(len(x)):
        y[i] = exp_nonpositive(x[i])


def exps_nonpositive(x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    _exps_nonpositive(x, y)
    return y


def test_error_stays_below_two_units_in_the_last_place(dtype, rng):
    info = np.finfo(dtype)
    low, high = np.log(np.longdouble(info.tiny)), np.log(np.longdouble(info.max))
    x = np.concatenate([rng.uniform(low, high, 100_000), rng.standard_normal(50_000), np.linspace(-0.35, 0.35, 10_001)])
    x = x.astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    assert (abs(exps(x) - exact) <= 2 * np.spacing(exact.astype(dtype))).all()


def test_subnormal_results_are_right_to_one_step(dtype, rng):
    info = np.finfo(dtype)
    x = rng.uniform(float(np.log(info.smallest_subnormal)), float(np.log(info.tiny)), 1000).astype(dtype)
    assert (abs(exps(x) - np.exp(x.astype(np.longdouble))) <= 2 * info.smallest_subnormal).all()


def test_special_values_are_exact(dtype):
    info = np.finfo(dtype)
    x = np.array([-np.inf, np.inf, 0, -0.0, info.min, info.max, -10_000, 10_000], dtype)
    assert exps(x).tolist() == [0, np.inf, 1, 1, 0, np.inf, 0, np.inf]
    assert np.isnan(exps(np.array([np.nan], dtype))).all()


@pytest.mark.parametrize("count", [1, 15, 16, 17, 63, 64, 65, 129])
def test_every_lane_and_tail_agrees(dtype, count, rng):
    x = rng.standard_normal(count).astype(dtype)
    alone = np.concatenate([exps(x[i : i + 1]) for i in range(count)])
    assert (abs(exps(x) - alone) <= np.spacing(alone)).all()


def test_overflow_begins_where_the_largest_number_ends(dtype):
    last = np.log(np.finfo(dtype).max)
    assert np.isfinite(exps(np.array([np.nextafter(last, dtype(0))], dtype))).all()
    assert np.isinf(exps(np.array([last * dtype(1.001)], dtype))).all()


def test_exp_nonpositive_is_the_exponential_up_to_zero(dtype, rng):
    """With a margin above 0, and down to the smallest normal number, below which there is 0."""
    info = np.finfo(dtype)
    last = float(np.log(info.tiny))
    x = np.concatenate([rng.uniform(last, 0, 100_000), rng.uniform(-1, 0, 50_000), rng.uniform(0, -0.99 * last, 1000)])
    x = x.astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    assert (abs(exps_nonpositive(x) - exact) <= 2 * np.spacing(exact.astype(dtype))).all()
    assert (exps_nonpositive(np.linspace(last - 1, 3 * last, 1000).astype(dtype)) == 0).all()
    near = exps_nonpositive(np.linspace(last - 1, last, 1000).astype(dtype))
    assert ((near == 0) | (near > info.tiny / 2)).all()
    ends = np.array([-np.inf, 0, -0.0, info.min, -10_000, np.nan, -np.nan], dtype)
    np.testing.assert_array_equal(exps_nonpositive(ends), np.array([0, 1, 1, 0, 0, np.nan, np.nan], dtype))


@kernel(fastmath=SUMS)
def _expm1s_nonpositive(x, y):
    for i in range(len(x)):
        y[i] = expm1_nonpositive(x[i])


def test_expm1_is_exact_near_zero(dtype, rng):
    x = -np.concatenate([10.0 ** rng.uniform(-30, 2, 50_000), np.linspace(0, 3, 10_001)]).astype(dtype)
    y = np.empty_like(x)
    _expm1s_nonpositive(x, y)
    np.testing.assert_allclose(y, np.expm1(x.astype(np.longdouble)).astype(dtype), rtol=4 * np.finfo(dtype).eps)
    ends = np.array([-np.inf, -1000.0, 0.0, np.nan], dtype)
    _expm1s_nonpositive(ends, y[:4])
    np.testing.assert_array_equal(y[:4], [-1, -1, 0, np.nan])
