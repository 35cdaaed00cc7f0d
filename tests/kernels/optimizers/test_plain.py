"""The plain step of Adam against the algorithm as it is printed, in NumPy."""

from __future__ import annotations

import numpy as np

from minigrad.kernels.optimizers import plain


def test_plain_steps_follow_the_paper(rng):
    parameter, m, v = rng.standard_normal(33), np.zeros(33), np.zeros(33)
    exact, exact_m, exact_v = parameter.copy(), np.zeros(33), np.zeros(33)
    for t in range(1, 11):
        g = rng.standard_normal(33)
        plain.adam_step(parameter, g, m, v, t, 0.01, 0.8, 0.99, 1e-6, 0.1)
        exact_m = 0.8 * exact_m + (1 - 0.8) * g
        exact_v = 0.99 * exact_v + (1 - 0.99) * g**2
        exact = exact - 0.01 * 0.1 * exact
        exact = exact - 0.01 * (exact_m / (1 - 0.8**t)) / (np.sqrt(exact_v / (1 - 0.99**t)) + 1e-6)
    for result, expected in ((parameter, exact), (m, exact_m), (v, exact_v)):
        np.testing.assert_allclose(result, expected, rtol=1e-12)
