"""Language models in minigrad, as ``transformer`` has them."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np

from tests.benchmarks.models.language import SHAPES
from transformer import CausalLM, TransformerConfig


@lru_cache(1)
def model_of(shape: str, format: str) -> Any:
    size = SHAPES[shape]
    config = TransformerConfig(
        vocab_size=size.vocabulary,
        d_model=size.width,
        num_heads=size.heads,
        num_kv_heads=size.groups,
        d_ff=size.inner,
        encoder_layers=0,
        decoder_layers=size.layers,
        max_length=4096,
        positions="rotary",
        rotary_base=size.rotary_base,
        norm="rms",
        norm_first=True,
        activation="swiglu",
        bias=False,
        tie="output",
        scale_embedding=False,
        init_std=0.02,
        pad_id=None,
        bos_id=None,
        eos_id=None,
    )
    model = CausalLM(config).eval()
    return model.requires_grad_(False) if format == "float32" else model.quantize(format)


def decode_language(shape: str, format: str, rows: int, length: int, tokens: int) -> tuple[float, list[float]]:
    """Seconds of a prompt (rows, length), and of each of the tokens that follow, chosen greedily."""
    decoding = model_of(shape, format).begin(SHAPES[shape].prompt(rows, length))
    decoding.reserve(tokens, 1)
    seconds: list[float] = []
    ids = decoding.prompt
    for _ in range(1 + tokens):
        start = time.perf_counter()
        logits = decoding.step(ids)
        ids = np.argmax(logits, axis=-1)[:, None]
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1:]
