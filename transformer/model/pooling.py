"""Pooling: one vector for a text, from those of its tokens."""

from __future__ import annotations

import minigrad as mg
from minigrad import Tensor
from transformer.model.config import Pooling


def pool(x: Tensor, real: Tensor | None, pooling: Pooling) -> Tensor:
    """Pool the vectors (B, T, D) of each row's real tokens, by default of all: (B, D).

    It is the first token's or the last one's, the greatest value of each feature, their mean, or for "mean_sqrt" the
    sum over the root of their number. Reimers and Gurevych, 2019: "Sentence-BERT", section 3.

    Example:
        >>> import numpy as np
        >>> pool(mg.asarray(np.array([[[1.0], [2.0], [9.0]]])), mg.asarray([[True, True, False]]), "mean").tolist()
        [[1.5]]
    """
    if real is None:
        real = mg.ones(x.shape[:2], dtype=mg.bool)
    if pooling == "max":
        return mg.max(mg.where(mg.expand_dims(real, -1), x, -mg.inf), axis=1)
    count = mg.cumulative_sum(real.astype(mg.int64), axis=1)
    number = count[:, -1:]
    if pooling in ("first", "last"):
        real = real & (count == (1 if pooling == "first" else number))
    weights = real.astype(x.dtype)
    if pooling.startswith("mean"):
        number = mg.clip(number, 1).astype(x.dtype)  # zeros for a row of padding
        weights = weights / (number if pooling == "mean" else mg.sqrt(number))
    return mg.squeeze(mg.matmul(mg.expand_dims(weights, 1), x), 1)
