"""The GPT in minigrad, composed of its layers as a user would."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, no_grad
from minigrad.nn import functional as F
from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program
from tests.benchmarks.models import gpt
from tests.benchmarks.models.gpt import GPTSize
from tests.benchmarks.models.minigrad_training import training

Cache = list[tuple[Tensor, Tensor]]  # of each layer, the keys and values (B, H, K, D) of what was decoded


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, size: GPTSize) -> None:
        self.heads = size.heads
        self.project = nn.Linear(size.width, 3 * size.width)
        self.output = nn.Linear(size.width, size.width)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, T, C) to (B, T, C), and all keys and values."""
        batch, length, width = x.shape
        apart = self.project(x).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = (part.transpose(0, 2, 1, 3) for part in mg.unstack(apart, axis=2))  # (B, H, T, D)
        if past is not None:
            key, value = mg.concat([past[0], key], axis=2), mg.concat([past[1], value], axis=2)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=length > 1)
        return self.output(seen.transpose(0, 2, 1, 3).reshape(batch, length, width)), (key, value)


class Block(nn.Module):
    def __init__(self, size: GPTSize) -> None:
        self.attention_norm = nn.LayerNorm(size.width)
        self.attention = Attention(size)
        self.feed_forward_norm = nn.LayerNorm(size.width)
        self.expand = nn.Linear(size.width, 4 * size.width)
        self.contract = nn.Linear(4 * size.width, size.width)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        attended, seen = self.attention(self.attention_norm(x), past)
        x = x + attended
        return x + self.contract(F.gelu(self.expand(self.feed_forward_norm(x)))), seen


class GPT(nn.Module):
    def __init__(self, size: GPTSize) -> None:
        self.tokens = nn.Embedding(size.vocabulary, size.width)
        self.positions = nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)

    def forward(self, tokens: Array, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """(B, T) to logits (B, T, V), and the cache with these tokens added."""
        start = cache[0][0].shape[2] if cache else 0
        x = self.tokens(tokens) + self.positions(np.arange(start, start + tokens.shape[1]))
        seen: Cache = []
        for layer, block in enumerate(self.blocks):
            x, keys_and_values = block(x, cache[layer] if cache else None)
            seen.append(keys_and_values)
        return F.linear(self.norm(x), self.tokens.weight), seen


def _model(size: GPTSize) -> GPT:
    model = GPT(size)
    model.load_state_dict(gpt.weights(size))
    return model


def train_gpt(size: GPTSize, precision: str = "float32") -> Program:
    """A training step."""
    model = _model(size)
    tokens, following = gpt.batch(size)

    def loss() -> Tensor:
        with mg.autocast(precision):
            logits, _ = model(tokens)
            return F.cross_entropy(logits.reshape(-1, size.vocabulary), following.reshape(-1))

    return training(model, [loss])


def decode_gpt(size: GPTSize, rows: int, new_tokens: int) -> Program:
    """Greedy decoding with a key-value cache."""
    model = _model(size)
    model.eval()

    def decode() -> tuple[list[Array], list[Array]]:
        """The tokens (B,) of each step, and the logits (B, V) that chose them."""
        tokens, cache = gpt.prompt(size, rows), None
        chosen, scores = [], []
        with no_grad():
            for _ in range(new_tokens):
                logits, cache = model(tokens, cache)
                last = logits[:, -1].numpy()
                tokens = last.argmax(-1)[:, None]
                chosen.append(tokens[:, 0])
                scores.append(last)
        return chosen, scores

    def results() -> dict[str, Array]:
        chosen, scores = decode()
        return {"tokens": np.stack(chosen), "logits": np.stack(scores)}

    return Program(decode, results)
