"""Convolution in its plain form: the sum that defines it, the oracle of the fast ones' tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def convolution(x, weight, stride, dilation, groups):
    """y[n, o, q, r] = Σ x[n, c, stride · q + dilation · i, stride · r + dilation · j] · weight[o, c, i, j].

    Args:
        x: (N, G · C, height, width), padded already.
        weight: (G · O, C, window height, window width).
        stride, dilation: (vertical, horizontal).
        groups: G; the results of each see its own channels.
    """
    images, _, height, width = x.shape
    results, channels, tall, wide = weight.shape
    rows = (height - dilation[0] * (tall - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (wide - 1) - 1) // stride[1] + 1
    y = np.zeros((images, results, rows, columns), x.dtype)
    for n in range(images):
        for o in range(results):
            first = o // (results // groups) * channels
            for q in range(rows):
                for r in range(columns):
                    for c in range(channels):
                        for i in range(tall):
                            for j in range(wide):
                                top, left = stride[0] * q + dilation[0] * i, stride[1] * r + dilation[1] * j
                                y[n, o, q, r] += x[n, first + c, top, left] * weight[o, c, i, j]
    return y
