"""Scatter-add of rows, with repeated indices."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels import add_rows


@pytest.mark.parametrize(
    ("size", "width", "shape"),
    [
        (1, 1, (5,)),
        (7, 3, (4, 10)),
        (50, 33, (2, 3, 40)),
        (100, 257, (1200,)),
    ],
)
def test_repeated_indices_add_every_time(dtype, rng, size, width, shape):
    indices = rng.integers(0, size, shape)
    rows = rng.integers(-50, 50, (*shape, width)).astype(dtype)  # small integers: sums are exact in any order
    out = np.ones((size, width), dtype)
    expected = np.ones((size, width), dtype)
    np.add.at(expected, indices, rows)
    assert add_rows(out, indices, rows) is out
    assert np.array_equal(out, expected)


def test_the_same_bits_on_every_run(dtype, rng):
    indices, rows = rng.integers(0, 3, 2000), rng.standard_normal((2000, 64)).astype(dtype)
    first, second = (add_rows(np.zeros((3, 64), dtype), indices, rows) for _ in range(2))
    assert np.array_equal(first, second)


def test_any_strides(dtype, rng):
    indices, rows = rng.integers(0, 5, 40)[::-2], rng.standard_normal((8, 20)).astype(dtype).T
    assert np.array_equal(
        add_rows(np.zeros((5, 8), dtype), indices, rows), add_rows(np.zeros((5, 8), dtype), indices.copy(), rows.copy())
    )


def test_nothing_to_add(dtype):
    assert (add_rows(np.zeros((3, 2), dtype), np.empty(0, np.int64), np.empty((0, 2), dtype)) == 0).all()


def test_invalid_arguments_are_named():
    out, rows = np.zeros((3, 2)), np.ones((2, 2))
    with pytest.raises(IndexError, match=r"indices must be in \[0, 3\); got -1"):
        add_rows(out, np.array([0, -1]), rows)
    with pytest.raises(ValueError, match=r"rows must have shape \(1, 2\); got \(2, 2\)"):
        add_rows(out, np.array([0]), rows)
    with pytest.raises(TypeError, match="indices must be integers; got float64"):
        add_rows(out, np.array([0.0, 1.0]), rows)
    with pytest.raises(ValueError, match="out must be C-contiguous and writeable"):
        add_rows(np.zeros((2, 3)).T, np.array([0, 1]), rows)
    assert (out == 0).all()
