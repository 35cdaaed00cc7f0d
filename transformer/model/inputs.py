"""Input validation: token ids, padding masks, and positions."""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor


def check_ids(name: str, ids: Any) -> Tensor:
    """Check token ids, and convert them to a tensor."""
    tensor = mg.asarray(ids)
    if tensor.ndim != 2 or tensor.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected integer token ids of shape (batch, length), got {tensor.dtype} {tensor.shape}"
        )
    return tensor


def real_tokens(ids: Tensor, attention_mask: Any, pad_id: int | None, length: int | None = None) -> Tensor | None:
    """Mask of real tokens (B, T): True where a token is not padding; None where all are.

    Args:
        ids: (B, T).
        attention_mask: the mask, if given.
        pad_id: the padding token otherwise.
        length: of the mask, where earlier tokens count too.
    """
    if attention_mask is not None:
        mask = mg.asarray(attention_mask)
        expected = (ids.shape[0], ids.shape[1] if length is None else length)
        if mask.shape != expected or mask.dtype.kind not in "biu":
            raise ValueError(
                f"attention_mask: expected booleans, or 0 and 1, of shape {expected}, got {mask.dtype} {mask.shape}"
            )
        return mask if mask.dtype == mg.bool else mask != 0
    if pad_id is None:
        return None
    real = ids != pad_id
    return None if real.data.all() else real


def check_not_empty(name: str, real: Tensor | None) -> None:
    """Raise an error if a row has only padding."""
    if real is not None and not (rows := real.data.any(axis=1)).all():
        raise ValueError(f"{name}: expected tokens in each row, got nothing but padding in row {np.argmin(rows)}")


def positions_of(real: Tensor | None, start: int, stop: int) -> Tensor:
    """Positions of the tokens from ``start`` to ``stop``, counted from each row's first real one: (T,) or (B, T)."""
    if real is None:
        return mg.arange(start, stop)
    positions = mg.clip(mg.cumulative_sum(real.astype(mg.int64), axis=1) - 1, 0)
    return positions[:, start:]
