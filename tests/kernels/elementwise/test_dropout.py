"""Dropout from a seed: the mask is random, depends on seed and position only, and repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad import kernels
from minigrad.kernels.elementwise.dropout import drop_below

SEEDS = (0, 1, 2, 3, 1 << 32, 2**63 - 1, -1, -(2**63))
SHAPE = (512, 2048)


def kept(seed: int, p: float = 0.5, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return kernels.dropout(np.ones(shape, np.float32), p, seed) != 0


def deviation(signs: np.ndarray) -> float:
    """Deviation of the mean of independent fair signs from 0, in standard deviations."""
    return abs(float(signs.mean())) * math.sqrt(signs.size)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_is_p(p: float) -> None:
    for seed in SEEDS:
        dropped = 1 - kept(seed, p).mean()
        assert abs(dropped - p) < 4.5 * math.sqrt(p * (1 - p) / math.prod(SHAPE))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("apart", [(0, 1), (0, 2), (0, 16), (0, 256), (1, 0), (2, 0), (1, 1), (128, 512)])
def test_neighbours_are_independent(seed: int, apart: tuple[int, int]) -> None:
    signs = kept(seed) * 2.0 - 1
    down, right = apart
    assert deviation(signs[down:, right:] * signs[: SHAPE[0] - down, : SHAPE[1] - right]) < 4.5


def test_seeds_are_independent() -> None:
    masks = [kept(seed) * 2.0 - 1 for seed in (*SEEDS, *range(10, 20))]
    for i, first in enumerate(masks):
        for second in masks[:i]:
            assert deviation(first * second) < 4.5


def test_rows_and_columns_vary_as_fair_draws_do() -> None:
    signs = kept(5) * 2.0 - 1
    for axis in (0, 1):
        scores = signs.mean(axis=axis) * math.sqrt(SHAPE[axis])
        assert abs(scores.var() - 1) < 4.5 * math.sqrt(2 / scores.size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (7,), (3, 1), (5, 33), (2, 3, 17), (3, 70_001)])
def test_kept_elements_are_scaled_and_the_others_zero(dtype: type, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    y = kernels.dropout(x, 0.25, seed=3)
    assert y.dtype == dtype and y.shape == shape
    np.testing.assert_array_equal(y, np.where(kept(3, 0.25, shape), x * dtype(1 / 0.75), 0))


def test_seed_and_place_alone_decide() -> None:
    """Neither dtype, nor strides, nor how many rows and columns there are besides."""
    wide = kept(8, 0.3, (6, 100))
    np.testing.assert_array_equal(kept(8, 0.3, (4, 30)), wide[:4, :30])
    np.testing.assert_array_equal(kept(8, 0.3, (2, 3, 100)).reshape(6, 100), wide)
    transposed = np.ones((100, 6)).T
    np.testing.assert_array_equal(kernels.dropout(transposed[:, ::-1], 0.3, 8) != 0, wide)


def test_all_is_kept_with_probability_0_and_dropped_with_1() -> None:
    """Also of infinities and NaN nothing is left."""
    x = np.array([1.0, np.nan, -np.inf])
    np.testing.assert_array_equal(kernels.dropout(x, 0.0, 1), x)
    np.testing.assert_array_equal(kernels.dropout(x, 1.0, 1), [0, 0, 0])
    assert drop_below(1 - 2.0**-40) == 2**32 - 1


@pytest.mark.parametrize(("p", "seed"), [(-0.1, 0), (1.1, 0), (math.nan, 0), (0.5, -(2**63) - 1), (0.5, 2**63)])
def test_values_out_of_range_are_named(p: float, seed: int) -> None:
    with pytest.raises(ValueError, match=r"p must be|seed must be"):
        kernels.dropout(np.ones(3), p, seed)
    with pytest.raises(TypeError, match="x must be a float32 or float64 array"):
        kernels.dropout(np.ones(3, int), 0.5, 0)
