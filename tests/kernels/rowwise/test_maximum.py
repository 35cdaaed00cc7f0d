"""Maximum of a row, by integer comparison."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels.rowwise.maximum import row_max


@pytest.mark.parametrize("size", [1, 3, 16, 63, 64, 65, 1000])
def test_it_is_the_maximum_wherever_it_stands(dtype, rng, size):
    for scale, shift in ((1, 0), (1, -10), (1e-40, 0), (1e30, 0)):
        row = (scale * (rng.standard_normal(size) + shift)).astype(dtype)
        assert row_max(row) == row.max()
        for place in {0, size // 2, size - 1}:
            raised = row.copy()
            raised[place] = np.inf
            assert row_max(raised) == np.inf


def test_infinities_zeros_and_nothing(dtype):
    assert row_max(np.array([-np.inf, np.finfo(dtype).min], dtype)) == np.finfo(dtype).min
    assert row_max(np.array([-0.0, 0.0], dtype)) == 0
    assert row_max(np.array([], dtype)) == -np.inf


def test_nan_counts_as_its_sign_says(dtype):
    assert np.isnan(row_max(np.array([np.inf, np.nan], dtype)))
    assert row_max(np.array([-np.inf, -np.nan], dtype)) == -np.inf
