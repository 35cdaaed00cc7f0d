"""The encoder-decoder and its training in PyTorch, as its users write them; names are those of ``transformer``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR

from transformer import Transformer, TransformerConfig
from transformer.data.batches import IGNORED, Batch, Data
from transformer.train import SCHEDULES, Step, TrainingConfig

Array = np.ndarray[Any, Any]


class Attention(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.query, self.key, self.value, self.output = (nn.Linear(config.d_model, config.d_model) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """(B, Q, D) attends to (B, K, D)."""
        query, key, value = self._apart(self.query(x)), self._apart(self.key(memory)), self._apart(self.value(memory))
        seen = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
        return self.output(seen.transpose(1, 2).flatten(2))

    def _apart(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.d_model, config.d_ff)
        self.contract = nn.Linear(config.d_ff, config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.contract(F.relu(self.expand(x), inplace=True))


class Residual(nn.Module):
    """LayerNorm(x + Dropout(y))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm(x + self.dropout(y))


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention, self.self_attention_residual = Attention(config), Residual(config)
        self.feed_forward, self.feed_forward_residual = FeedForward(config), Residual(config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.self_attention_residual(x, self.self_attention(x, x, mask))
        return self.feed_forward_residual(x, self.feed_forward(x))


class DecoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.self_attention, self.self_attention_residual = Attention(config), Residual(config)
        self.cross_attention, self.cross_attention_residual = Attention(config), Residual(config)
        self.feed_forward, self.feed_forward_residual = FeedForward(config), Residual(config)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
        x = self.self_attention_residual(x, self.self_attention(x, x, causal=True))
        x = self.cross_attention_residual(x, self.cross_attention(x, memory, mask))
        return self.feed_forward_residual(x, self.feed_forward(x))


class Stack(nn.Module):
    """Token ids (B, T) to vectors (B, T, D)."""

    positions: Tensor

    def __init__(self, config: TransformerConfig, tokens: nn.Embedding, layers: list[nn.Module]) -> None:
        super().__init__()
        self.tokens = tokens
        self.register_buffer("positions", sinusoidal(config.max_length, config.d_model), persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(layers)

    def forward(self, ids: Tensor, *given: Tensor | None) -> Tensor:
        scaled = self.tokens(ids) * self.tokens.embedding_dim**0.5
        x = self.dropout(scaled + self.positions[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x, *given)
        return x


class Twin(nn.Module):
    """The paper's model with one embedding for source, target and output: a ``Transformer`` by the defaults.

    Args:
        config: of the model; only sizes and dropout are read.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pad_id = -1 if config.pad_id is None else config.pad_id
        tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder = Stack(config, tokens, [EncoderLayer(config) for _ in range(config.encoder_layers)])
        self.decoder = Stack(config, tokens, [DecoderLayer(config) for _ in range(config.decoder_layers)])

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, S) and (B, T) to logits (B, T, V)."""
        real = source != self.pad_id
        mask = None if real.all() else real[:, None, None, :]
        return F.linear(self.decoder(target, self.encoder(source, mask), mask), self.encoder.tokens.weight)

    def weights(self) -> dict[str, Array]:
        """All parameters by name; shares memory."""
        return {name: parameter.detach().numpy() for name, parameter in self.named_parameters()}

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Copy all parameters.

        Raises:
            ValueError: names are missing or unexpected.
        """
        own = self.weights()
        if differing := sorted(own.keys() ^ weights.keys()):
            raise ValueError(f"weights: expected those of the twin, different are {', '.join(differing[:5])}")
        for name, value in own.items():
            value[...] = weights[name]


def sinusoidal(length: int, width: int) -> Tensor:
    """(length, width) of "Attention Is All You Need", section 3.5."""
    angles = torch.arange(length, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1).float()


def twin_loss(twin: Twin, batch: Batch, label_smoothing: float) -> Tensor:
    """The mean cross-entropy of a batch's labels."""
    logits = twin(*map(torch.from_numpy, batch.inputs))
    labels = torch.from_numpy(batch.labels)
    return F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing
    )


class TwinTrainer:
    """Stands in for :class:`transformer.train.Trainer`: PyTorch trains a twin, and the model gets its weights.

    Args:
        model: where the training begins, and where its result goes.
        data: the batches to learn from, pass after pass.
        config: how to train; of its optimizers, Adam.
    """

    def __init__(self, model: Transformer, data: Data, config: TrainingConfig) -> None:
        self.model, self.data, self.config = model, data, config
        self.twin = Twin(model.config)
        self.twin.load_weights({name: value.numpy() for name, value in model.state_dict().items()})
        self.optimizer = torch.optim.Adam(
            self.twin.parameters(), config.learning_rate(model), config.betas, config.eps, fused=True
        )
        schedule = SCHEDULES[config.schedule](config.warmup, max(config.warmup, config.steps), config.final_factor)
        self.scheduler = LambdaLR(self.optimizer, lambda made: schedule(made + 1))

    def __iter__(self) -> Iterator[Step]:
        torch.manual_seed(self.config.seed)
        self.twin.train()
        batches = chain.from_iterable(self.data.epoch(number) for number in count())
        for number in range(1, self.config.steps + 1):
            yield self._step(number, batches)
        self.model.load_state_dict(self.twin.weights())

    def _step(self, number: int, batches: Iterator[Batch]) -> Step:
        start = time.perf_counter()
        (batch,) = islice(batches, 1)
        self.optimizer.zero_grad()
        loss = twin_loss(self.twin, batch, self.config.label_smoothing)
        torch.autograd.backward(loss)
        norm = clip_grad_norm_(self.twin.parameters(), self.config.clip_norm or float("inf"))
        (lr,) = self.scheduler.get_last_lr()
        self.optimizer.step()
        self.scheduler.step()
        return Step(
            number=number,
            loss=loss.item(),
            tokens=batch.tokens,
            seconds=time.perf_counter() - start,
            lr=float(lr),
            gradient_norm=norm.item(),
        )
