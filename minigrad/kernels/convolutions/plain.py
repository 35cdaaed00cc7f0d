"""Depthwise convolution in its plain form: the sum that defines it, the oracle of the fast one's tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def depthwise_convolution(x, weight, stride, dilation):
    """y[n, o, q, r] = Σᵢⱼ x[n, c, stride · q + dilation · i, stride · r + dilation · j] · weight[o, i, j].

    Args:
        x: (N, C, height, width), padded already.
        weight: (O, window height, window width); result o is of channel c = ⌊o · C / O⌋.
        stride, dilation: (vertical, horizontal).
    """
    images, channels, height, width = x.shape
    results, tall, wide = weight.shape
    rows = (height - dilation[0] * (tall - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (wide - 1) - 1) // stride[1] + 1
    y = np.zeros((images, results, rows, columns), x.dtype)
    for n in range(images):
        for o in range(results):
            c = o * channels // results
            for q in range(rows):
                for r in range(columns):
                    for i in range(tall):
                        for j in range(wide):
                            element = x[n, c, stride[0] * q + dilation[0] * i, stride[1] * r + dilation[1] * j]
                            y[n, o, q, r] += element * weight[o, i, j]
    return y
