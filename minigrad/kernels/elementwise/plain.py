"""GELU in its plain form: one element after the other, the oracle of the fast one's tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def gelu(x):
    """x · Φ(x), where Φ(x) = erfc(-x / √2) / 2 is the standard normal distribution. Hendrycks and Gimpel, 2016.

    Args:
        x: (n,).
    """
    y = np.empty_like(x)
    for i in range(len(x)):
        y[i] = x[i] * 0.5 * math.erfc(-x[i] / math.sqrt(2.0))
    return y


@kernel()
def gelu_backward(g, x):
    """g · (Φ(x) + x · φ(x)), where φ(x) = exp(-x² / 2) / √(2π) is the density of the standard normal distribution.

    Args:
        g: (n,), the gradient with respect to the output.
        x: (n,).
    """
    dx = np.empty_like(x)
    for i in range(len(x)):
        probability = 0.5 * math.erfc(-x[i] / math.sqrt(2.0))
        density = math.exp(-0.5 * x[i] * x[i]) / math.sqrt(2 * math.pi)
        dx[i] = g[i] * (probability + x[i] * density)
    return dx
