"""Plain GELU and its gradient against SciPy."""

from __future__ import annotations

import numpy as np
from scipy import special

from minigrad.kernels.elementwise import plain


def test_the_plain_gelu_is_its_formula(rng):
    x = np.concatenate([np.linspace(-30, 30, 601), rng.standard_normal(1000), [0.0]])
    density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    g = rng.standard_normal(x.shape)
    np.testing.assert_allclose(plain.gelu(x), x * special.ndtr(x), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(plain.gelu_backward(g, x), g * (special.ndtr(x) + x * density), rtol=1e-12, atol=1e-15)
