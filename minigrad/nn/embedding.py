"""Embedding layers."""

from __future__ import annotations

from typing import Any

from minigrad.engine.tensor import Tensor
from minigrad.nn import functional, init
from minigrad.nn.module import Module, Parameter
from minigrad.ops.creation import empty


class Embedding(Module):
    """Embedding table, a learned row for each index: integers of any shape to (…, embedding_dim).

    Args:
        num_embeddings: the number of rows.
        embedding_dim: their length.
        padding_idx: a row that starts as zeros and is not trained. All others start standard normal.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(empty((num_embeddings, embedding_dim)))
        init.normal_(self.weight)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"padding_idx: expected a row of {num_embeddings}, got {padding_idx}")
            self.weight.data[padding_idx] = 0

    def forward(self, indices: Any) -> Tensor:
        return functional.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
