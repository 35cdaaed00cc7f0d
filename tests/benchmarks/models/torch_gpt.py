"""The GPT in PyTorch; with ``compiled``, through ``torch.compile``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program
from tests.benchmarks.models import gpt
from tests.benchmarks.models.gpt import GPTSize
from tests.benchmarks.models.torch_training import training

Cache = list[tuple[Tensor, Tensor]]  # of each layer, the keys and values (B, H, K, D) of what was decoded


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, size: GPTSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.project = nn.Linear(size.width, 3 * size.width)
        self.output = nn.Linear(size.width, size.width)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, T, C) to (B, T, C), and all keys and values."""
        batch, length, width = x.shape
        apart = self.project(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = (part.transpose(1, 2) for part in apart.unbind(2))  # (B, H, T, D)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=length > 1)
        return self.output(seen.transpose(1, 2).reshape(batch, length, width)), (key, value)


class Block(nn.Module):
    def __init__(self, size: GPTSize) -> None:
        super().__init__()
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
        super().__init__()
        self.tokens = nn.Embedding(size.vocabulary, size.width)
        self.positions = nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """(B, T) to logits (B, T, V), and the cache with these tokens added."""
        start = cache[0][0].shape[2] if cache else 0
        x = self.tokens(tokens) + self.positions(torch.arange(start, start + tokens.shape[1]))
        seen: Cache = []
        for layer, block in enumerate(self.blocks):
            x, keys_and_values = block(x, cache[layer] if cache else None)
            seen.append(keys_and_values)
        return F.linear(self.norm(x), self.tokens.weight), seen


def _model(size: GPTSize) -> GPT:
    model = GPT(size)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in gpt.weights(size).items()})
    return model


def train_gpt(size: GPTSize, precision: str = "float32", compiled: bool = False) -> Program:
    """A training step."""
    model = _model(size)
    tokens, following = (torch.from_numpy(array) for array in gpt.batch(size))

    def loss() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits, _ = model(tokens)
            return F.cross_entropy(logits.view(-1, size.vocabulary), following.view(-1))

    return training(model, [torch.compile(loss) if compiled else loss])


def decode_gpt(size: GPTSize, rows: int, new_tokens: int) -> Program:
    """Greedy decoding with a key-value cache."""
    model = _model(size).eval()

    def decode() -> tuple[list[Tensor], list[Tensor]]:
        """The tokens (B,) of each step, and the logits (B, V) that chose them."""
        tokens, cache = torch.from_numpy(gpt.prompt(size, rows)), None
        chosen, scores = [], []
        with torch.no_grad():
            for _ in range(new_tokens):
                logits, cache = model(tokens, cache)
                last = logits[:, -1]
                tokens = last.argmax(-1, keepdim=True)
                chosen.append(tokens[:, 0])
                scores.append(last)
        return chosen, scores

    def results() -> dict[str, Array]:
        chosen, scores = decode()
        return {"tokens": torch.stack(chosen).numpy(), "logits": torch.stack(scores).numpy()}

    return Program(decode, results)
