"""Scaled dot-product attention in its plain form: one query after the other, the oracle of the fast one's tests."""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math

import numpy as np

from minigrad.kernels.compiling.compiler import kernel


@kernel()
def scaled_dot_product_attention(query, key, value, mask):
    """softmax(Q Kᵀ / √D) V of one head: scores, their softmax, the weighted sum of values.

    Vaswani et al., "Attention Is All You Need", 2017, equation 1.

    Args:
        query: (Q, D).
        key: (K, D).
        value: (K, E).
        mask: (Q, K), True where a query may attend; a query that may attend to nothing gets zeros.

    Returns:
        (Q, E).
    """
    queries, features = query.shape
    keys, width = value.shape
    out = np.zeros((queries, width), query.dtype)
    weights = np.zeros(keys, query.dtype)
    for q in range(queries):
        largest = -math.inf
        for k in range(keys):
            weights[k] = 0
            for d in range(features):
                weights[k] += query[q, d] * key[k, d] / math.sqrt(features)
            if mask[q, k]:
                largest = max(largest, weights[k])
        total = 0.0
        for k in range(keys):
            weights[k] = math.exp(weights[k] - largest) if mask[q, k] else 0.0
            total += weights[k]
        for k in range(keys):
            if mask[q, k]:
                for e in range(width):
                    out[q, e] += weights[k] / total * value[k, e]
    return out
