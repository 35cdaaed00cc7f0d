"""Plain convolution against windows that NumPy cuts out."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.kernels.convolutions import plain


@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 1), (1, 3)), ((3, 2), (2, 2))])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_plain_convolution_is_its_formula(rng, stride, dilation, groups):
    x, weight = rng.standard_normal((2, 4, 9, 10)), rng.standard_normal((6, 4 // groups, 2, 3))
    spans = dilation[0] + 1, 2 * dilation[1] + 1
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    parts = zip(np.split(windows, groups, axis=1), np.split(weight, groups), strict=True)
    expected = np.concatenate([np.einsum("ncqrij,ocij->noqr", *part) for part in parts], axis=1)
    np.testing.assert_allclose(plain.convolution(x, weight, stride, dilation, groups), expected, atol=1e-12)
