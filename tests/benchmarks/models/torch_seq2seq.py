"""The encoder-decoder in PyTorch, with the names of the package ``transformer``."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.job import Program
from tests.benchmarks.models import seq2seq
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from tests.benchmarks.models.torch_training import training


class Attention(nn.Module):
    def __init__(self, size: Seq2SeqSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.query, self.key, self.value, self.output = (nn.Linear(size.width, size.width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """(B, Q, C) attends to (B, K, C)."""
        query, key, value = self._apart(self.query(x)), self._apart(self.key(memory)), self._apart(self.value(memory))
        seen = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
        return self.output(seen.transpose(1, 2).reshape(x.shape))

    def _apart(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, size: Seq2SeqSize) -> None:
        super().__init__()
        self.expand = nn.Linear(size.width, size.inner)
        self.contract = nn.Linear(size.inner, size.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.contract(F.relu(self.expand(x)))


class Residual(nn.Module):
    """LayerNorm(x + Dropout(y))."""

    def __init__(self, size: Seq2SeqSize, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size.width)
        self.dropout = dropout

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm(x + F.dropout(y, self.dropout))


class EncoderLayer(nn.Module):
    def __init__(self, size: Seq2SeqSize, dropout: float) -> None:
        super().__init__()
        self.self_attention, self.self_attention_residual = Attention(size), Residual(size, dropout)
        self.feed_forward, self.feed_forward_residual = FeedForward(size), Residual(size, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.self_attention_residual(x, self.self_attention(x, x, mask))
        return self.feed_forward_residual(x, self.feed_forward(x))


class DecoderLayer(nn.Module):
    def __init__(self, size: Seq2SeqSize, dropout: float) -> None:
        super().__init__()
        self.self_attention, self.self_attention_residual = Attention(size), Residual(size, dropout)
        self.cross_attention, self.cross_attention_residual = Attention(size), Residual(size, dropout)
        self.feed_forward, self.feed_forward_residual = FeedForward(size), Residual(size, dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        x = self.self_attention_residual(x, self.self_attention(x, x, causal=True))
        x = self.cross_attention_residual(x, self.cross_attention(x, memory, mask))
        return self.feed_forward_residual(x, self.feed_forward(x))


class Stack(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, *given: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, *given)
        return x


class Seq2Seq(nn.Module):
    def __init__(self, size: Seq2SeqSize, dropout: float) -> None:
        super().__init__()
        self.encoder = Stack([EncoderLayer(size, dropout) for _ in range(size.layers)])
        self.encoder.tokens = nn.Embedding(size.vocabulary, size.width)  # one matrix, of the decoder and the output too
        self.decoder = Stack([DecoderLayer(size, dropout) for _ in range(size.layers)])
        self.positions = torch.from_numpy(seq2seq.positions(seq2seq.LONGEST, size.width))
        self.dropout = dropout

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, S) and (B, T) to logits (B, T, V)."""
        mask = (source != seq2seq.PAD)[:, None, None, :]
        memory = self.encoder(self._embedded(source), mask)
        return F.linear(self.decoder(self._embedded(target), memory, mask), self.encoder.tokens.weight)

    def _embedded(self, ids: Tensor) -> Tensor:
        scaled = self.encoder.tokens(ids) * self.encoder.tokens.embedding_dim**0.5
        return F.dropout(scaled + self.positions[: ids.shape[1]], self.dropout)


def train_seq2seq(size: Seq2SeqSize, dropout: float) -> Program:
    """A training step on a batch of each length."""
    model = Seq2Seq(size, dropout)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in seq2seq.weights(size).items()})

    def loss_of(source: Tensor, target: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(
            model(source, target).flatten(0, 1),
            wanted.flatten(),
            ignore_index=seq2seq.PAD,
            label_smoothing=seq2seq.LABEL_SMOOTHING,
        )

    batches = [map(torch.from_numpy, batch) for batch in seq2seq.batches(size)]
    return training(model, [partial(loss_of, *batch) for batch in batches])


def forward_seq2seq(size: Seq2SeqSize, rows: int, compiled: bool = False) -> Program:
    """Logits of all target tokens at once."""
    model = Seq2Seq(size, dropout=0.0).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in seq2seq.endless_weights(size).items()})
    source, target = (torch.from_numpy(array) for array in (seq2seq.source(size, rows), seq2seq.target(size, rows)))

    forward = torch.compile(model) if compiled else model

    def call() -> Tensor:
        with torch.no_grad():
            logits: Tensor = forward(source, target)
            return logits

    return Program(call, lambda: {"logits": call().numpy()})
