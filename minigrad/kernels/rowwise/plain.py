"""Softmax, layer and group normalization in their plain form: row after row, the oracle of the fast ones' tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def softmax(x):
    """exp(xᵢ - max x) / Σⱼ exp(xⱼ - max x) along each row: maximum, exponentials and their sum, division.

    The maximum changes nothing but the exponents, which no longer overflow.

    Args:
        x: (rows, n), finite.
    """
    y = np.empty_like(x)
    rows, n = x.shape
    for row in range(rows):
        largest = x[row, 0]
        for i in range(n):
            largest = max(largest, x[row, i])
        total = 0.0
        for i in range(n):
            y[row, i] = math.exp(x[row, i] - largest)
            total += y[row, i]
        for i in range(n):
            y[row, i] /= total
    return y


@kernel()
def layer_norm(x, weight, bias, eps):
    """(x - mean) / √(variance + eps) · weight + bias along each row. Ba, Kiros and Hinton, 2016, equation 3.

    Args:
        x: (rows, n).
        weight, bias: (n,).
        eps: added to the variance.

    Returns:
        y (rows, n), mean (rows,) and 1 / √(variance + eps) (rows,).
    """
    y, mean, rstd = np.empty_like(x), np.zeros(len(x), x.dtype), np.zeros(len(x), x.dtype)
    rows, n = x.shape
    for row in range(rows):
        for i in range(n):
            mean[row] += x[row, i] / n
        variance = 0.0
        for i in range(n):
            variance += (x[row, i] - mean[row]) ** 2 / n
        rstd[row] = 1 / math.sqrt(variance + eps)
        for i in range(n):
            y[row, i] = (x[row, i] - mean[row]) * rstd[row] * weight[i] + bias[i]
    return y, mean, rstd


@kernel()
def group_norm(x, groups, weight, bias, eps):
    """(x - mean) / √(variance + eps) · weight + bias over each group of channels. Wu and He, 2018, equation 1.

    Args:
        x: (N, C, size).
        groups: the number of groups of neighbouring channels.
        weight, bias: (C,).
        eps: added to the variance.

    Returns:
        y (N, C, size), mean (N, groups) and 1 / √(variance + eps) (N, groups).
    """
    images, channels, size = x.shape
    y, mean, rstd = np.empty_like(x), np.zeros((images, groups), x.dtype), np.zeros((images, groups), x.dtype)
    each = channels // groups
    for n in range(images):
        for group in range(groups):
            for channel in range(group * each, (group + 1) * each):
                for i in range(size):
                    mean[n, group] += x[n, channel, i] / (each * size)
            variance = 0.0
            for channel in range(group * each, (group + 1) * each):
                for i in range(size):
                    variance += (x[n, channel, i] - mean[n, group]) ** 2 / (each * size)
            rstd[n, group] = 1 / math.sqrt(variance + eps)
            for channel in range(group * each, (group + 1) * each):
                for i in range(size):
                    z = (x[n, channel, i] - mean[n, group]) * rstd[n, group]
                    y[n, channel, i] = z * weight[channel] + bias[channel]
    return y, mean, rstd
